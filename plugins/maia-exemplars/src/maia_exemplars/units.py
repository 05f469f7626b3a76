"""Units by number or by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence

from maia_core.plugin import UsageError, did_you_mean

MAX_NAMES = 40
"""Names that an error lists at most."""

MAX_LABEL = 200
"""Characters of a name that stands for a unit in references at most."""

NUMBER = r"-?[0-9]{1,9}"
"""A text that is a unit's number, whatever the names are."""


def find_unit(text: str, layer: str, units: int, names: Sequence[str]) -> int:
    """Returns the number of a unit that is given by number or by name.

    Args:
        text: What the user wrote.
        layer: Name of the layer, for errors.
        units: Number of its units.
        names: Their names; empty where they have none.

    Raises:
        UsageError: there is no such unit, or a name stands for several; the message says what exists.
    """
    if not text:
        raise UsageError(f"which unit of layer {layer}? Write {layer}:0 to {layer}:{units - 1}")
    if re.fullmatch(NUMBER, text):
        if 0 <= int(text) < units:
            return int(text)
        raise UsageError(f"unit {text} of layer {layer} does not exist: it has units 0 to {units - 1}")
    if not names:
        raise UsageError(f"unit '{text}' of layer {layer} is not a number: it has units 0 to {units - 1}")
    words = _words(text)
    matches = [index for index, name in enumerate(names) if _words(name) == words]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"'{text}' names several classes: {_numbered(matches, names)}; write {layer}:{matches[0]}")
    partly = [index for index, name in enumerate(names) if f" {words} " in f" {_words(name)} "]
    hint = f" Classes with this word: {_numbered(partly, names)}." if partly else did_you_mean(text, names)
    raise UsageError(f"no class '{text}' in layer {layer}.{hint or f' It has units 0 to {units - 1}.'}")


def unit_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Returns what each unit is called in references: its name where that names one unit alone, else its number.

    A name that is itself a number or empty, that has a "=", that is very long, or that a terminal or a line cannot
    hold does not name a unit.
    """
    words = [_words(name) for name in names]
    counts = Counter(words)
    return tuple(
        label if counts[word] == 1 and _is_label(label) else str(number)
        for number, (name, word) in enumerate(zip(names, words, strict=True))
        for label in [name.replace(" ", "_")]
    )


def listed(names: Sequence[str]) -> str:
    """Joins names with commas, the first `MAX_NAMES` of them."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def split_ref(ref: str, layers: Container[str]) -> tuple[str, str] | None:
    """Returns the layer and the rest of a reference `LAYER:REST`: names of layers and of units may hold colons.

    The longest known layer before a unit counts, then one that is the whole reference; None without one.
    """
    ends = [*(place for place in reversed(range(len(ref))) if ref[place] == ":" and ref[place + 1 :]), len(ref)]
    ends += [len(ref) - 1] if ref.endswith(":") else []
    return next(((ref[:end], ref[end + 1 :]) for end in ends if ref[:end] in layers), None)


def _is_label(text: str) -> bool:
    is_short = 0 < len(text) <= MAX_LABEL
    return is_short and text.isprintable() and "=" not in text and not re.fullmatch(NUMBER, text)


def _words(name: str) -> str:
    return " ".join(re.split(r"[\W_]+", name.casefold())).strip()


def _numbered(units: Iterable[int], names: Sequence[str]) -> str:
    return listed([f"{names[unit]} ({unit})" for unit in units])
