"""How a backbone conducted its runs: faults that Appendix D3 of the paper observes, counted in the record.

* An *invented result*: the reply states an activation that no experiment up to then gave ("a cat on grass, activation:
  14.21").
* A *copied example*: a program uses a text that stands in an example of the API, word for word ("a dog on grass").
* A *broken program*: it ended with an error, or before its time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from maia_core.plugin import (
    Data,
    Executed,
    HostCall,
    MessageAdded,
    ProgramStarted,
    Replied,
    RunReader,
    Verified,
    syntax_tree,
)

CLAIM = re.compile(
    r"\bactivations?(?:\s+(?:value|score|level)s?)?\s*(?:is|was|were|of|at|=|:)?\s*(?:is\s+)?[*_`]*(-?\d+\.\d+)",
    re.IGNORECASE,
)
"""An activation that a reply states."""

HEDGED = re.compile(
    r"\b(?:mean|means|average|averages|median|total|difference|ratio|typical|about|around|roughly|approximately|nearly|over"
    r"|under|above|below|threshold|percentile|quantile|if|expect|expected|predict|predicted|would|should|could)\b",
    re.IGNORECASE,
)
"""Words beside a number that is computed, rounded or expected, and so need not have been shown."""

BESIDE = 60
"""Characters before a stated activation in which such a word counts."""

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
PROGRAM = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
EXAMPLE = re.compile(r"^\s*(?:>>>|\.\.\.) (.*)$", re.MULTILINE)
QUOTED = re.compile(r"\"([^\"\\\n]+)\"|'([^'\\\n]+)'")


class Integrity(Data):
    """Faults, counted over runs.

    Attributes:
        runs: How many runs.
        programs: Programs that were run.
        broken: Those of them that failed.
        invented: Activations that were stated and never measured.
        copied: Programs that hold a text of an example of the API.
    """

    runs: int = 0
    programs: int = 0
    broken: int = 0
    invented: int = 0
    copied: int = 0

    def __add__(self, other: Integrity) -> Integrity:
        return Integrity(**{name: getattr(self, name) + getattr(other, name) for name in Integrity.model_fields})


def count_faults(folder: Path) -> Integrity:
    """Counts the faults in one run's record.

    Raises:
        RecordError: there is no such run, or its record is damaged.
    """
    seen: list[float] = []
    examples: frozenset[str] = frozenset()
    found = Integrity(runs=1)
    for event in RunReader(folder).events:
        if isinstance(event, MessageAdded):
            text = event.message.text
            examples |= frozenset(_examples(text)) if event.message.role == "system" else frozenset()
            seen += map(float, NUMBER.findall(text))
        elif isinstance(event, HostCall):
            seen += _numbers(event.result)
            seen += [logged.activation for logged in event.effects.logged]
        elif isinstance(event, Verified):
            seen += [probe.activation for probe in event.verdict.probes]
        elif isinstance(event, Executed):
            seen += map(float, NUMBER.findall(f"{event.execution.stdout} {event.execution.value}"))
            found += Integrity(broken=bool(event.execution.error))
        elif isinstance(event, ProgramStarted):
            found += Integrity(programs=1, copied=bool(examples & _texts(event.program)))
        elif isinstance(event, Replied):
            found += Integrity(invented=len(invented(event.reply.text, seen)))
    return found


def invented(reply: str, seen: Iterable[float]) -> list[str]:
    """Returns the activations that a reply states and that are none of those seen, as they are written.

    A number is one that was seen if it can be had by rounding it or cutting it off. Numbers in programs, and means,
    thresholds and expectations, are not statements of a result.
    """
    known = np.sort(np.asarray([*seen], np.float64))
    text = PROGRAM.sub(" ", reply)
    found = []
    for claim in CLAIM.finditer(text):
        before = re.split(r"[.;\n]\s", text[max(0, claim.start() - BESIDE) : claim.start()])[-1]
        if HEDGED.search(before) or HEDGED.search(claim[0]):
            continue
        value, unit = float(claim[1]), 10.0 ** -len(claim[1].partition(".")[2])
        at = np.searchsorted(known, [value - unit, value + unit])
        near = known[at[0] : at[1] + 1]
        if not (np.abs(near - value) < unit * (1 - 1e-6)).any():
            found.append(claim[1])
    return found


def _numbers(value: JsonValue) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float(value)


def _examples(text: str) -> Iterator[str]:
    """Returns the texts of several words in the examples of an API."""
    for line in EXAMPLE.findall(text):
        for double, single in QUOTED.findall(line):
            if " " in (quoted := double or single).strip():
                yield quoted


def _texts(program: str) -> frozenset[str]:
    """Returns the texts in a program."""
    try:
        tree = syntax_tree(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
