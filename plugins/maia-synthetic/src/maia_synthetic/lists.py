"""Named lists of synthetic neurons: the paper's, and the offline benchmark's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from maia_core.plugin import RunContext, UsageError, did_you_mean, one_line
from maia_labels.expression import Concept, Expression, Given, Or
from maia_labels.parser import parse

LISTS = {
    "paper": "the paper's 88 (Table A6), for photographs and a detector with weights",
    "paper-code": "the 85 of the authors' code, from a file of yours: see `maia synthetic list paper-code`",
    "collage": "64 over what the collage laboratory holds; collage@SEED draws others by the same rules",
}
"""The lists by name, and what each is."""

KINDS = ("monosemantic", "polysemantic_or", "conditional_a_given_b")
"""The keys of a file of neurons."""

_PLACE = re.compile(r"(?P<list>[\w-]+)(?:@(?P<seed>[\w-]*))?/(?P<number>\d{1,6})")


def resolve(ref: str, context: RunContext) -> Expression:
    """Returns the expression that a reference stands for: a place in a list (`paper/12`), or the expression itself.

    Raises:
        UsageError: there is no such list or place, or the expression is malformed.
    """
    found = _PLACE.fullmatch(ref.strip())
    if not found:
        return parse(ref)
    name = found["list"] + ("" if found["seed"] is None else f"@{found['seed']}")
    neurons = neurons_of(name, context)
    number = int(found["number"])
    if not 1 <= number <= len(neurons):
        raise UsageError(f"the list '{name}' holds the neurons {name}/1 to {name}/{len(neurons)}, not {name}/{number}")
    return neurons[number - 1]


def neurons_of(name: str, context: RunContext) -> Sequence[Expression]:
    """Returns the neurons of a list: `paper`, `collage`, or `collage@SEED` for a list drawn with that seed.

    Raises:
        UsageError: there is no such list, or it cannot be drawn for lack of a collage pack.
    """
    base, drawn, seed = name.partition("@")
    if base not in LISTS or (drawn and base != "collage"):
        hint = did_you_mean(base, LISTS) or f" There are {', '.join(LISTS)} and collage@SEED."
        raise UsageError(f"there is no list of synthetic neurons '{name}'.{hint}")
    if base == "paper-code":
        return _own_file(context.cache / "synthetic" / "paper-code.json")
    if not drawn:
        return shipped(base)
    if not re.fullmatch("[0-9]{1,9}", seed):
        raise UsageError(f"the seed of a list is a number of at most 9 digits, as in collage@7, not '{seed}'")
    from maia_synthetic.draw import draw

    return read(draw(int(seed), context))


@cache
def shipped(name: str) -> Sequence[Expression]:
    """Returns the neurons of a list that is a data file of this package."""
    text = resources.files("maia_synthetic").joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    return read(json.loads(text))


def _own_file(path: Path) -> Sequence[Expression]:
    """Reads a list that MAIA does not ship.

    Raises:
        UsageError: the file is missing or has another form.
    """
    form = '{"monosemantic": [A, ...], "polysemantic_or": [[A, B], ...], "conditional_a_given_b": [[A, B], ...]}'
    try:
        listed = dict(json.loads(path.read_bytes()))
        if other := next((key for key in listed if key not in KINDS), None):
            raise UsageError(f"{path}: unknown key '{other[:80]}'.{did_you_mean(other, KINDS)} Its form is {form}")
        return read(listed)
    except FileNotFoundError as error:
        raise UsageError(
            f"the list 'paper-code' is not part of MAIA: write the neurons of the authors' code into {path} as {form}"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"cannot read {path}: {one_line(error)}; its form is {form}") from error


def read(listed: Mapping[str, Any]) -> Sequence[Expression]:
    """Returns the neurons of a list in the form of the data files, in order."""
    return (
        *map(Concept, listed["monosemantic"]),
        *(Or((Concept(a), Concept(b))) for a, b in listed["polysemantic_or"]),
        *(Given(Concept(a), Concept(b)) for a, b in listed["conditional_a_given_b"]),
    )
