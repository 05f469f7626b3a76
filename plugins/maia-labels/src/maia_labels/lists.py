"""Labels that list several concepts with commas, as models write them: "huskies, ducks and tanks"."""

from __future__ import annotations

import re

from maia_labels.colours import NAMES
from maia_labels.content import content_of
from maia_labels.parts import parts_of, split_outside
from maia_labels.strengths import split_strength
from maia_labels.words import ROUND, SIZES

_COMMA = re.compile(r",\s+|;\s*")
_LAST = re.compile(r"^(?:and|or|&)\s+", re.IGNORECASE)
_BEFORE_LAST = re.compile(r"\s+(?:and|or|&)\s+", re.IGNORECASE)
_ADJECTIVE = re.compile(r"(?:[^e]ed|y|al|ive|ous|ful|ish|ic|less|like|ing|en|ar|er|est|ent|ant|ble|red)$")


def listed(label: str) -> list[str] | None:
    """Returns the concepts of a label that lists several with commas; the label alone if it names one.

    "small, round fruit" names one: all but its last part only qualify. "snow, 40 %" is a label and its strength.

    Returns:
        One or more labels; None where it is not clear whether the label is a list.
    """
    pieces: list[str] = []
    for piece in split_outside(label, _COMMA):
        if pieces and (split_strength(f"x, {piece}")[0] == "x" or parts_of(piece).form == "given"):
            pieces[-1] = f"{pieces[-1]}, {piece}"
        else:
            pieces.append(_LAST.sub("", piece))
    if len(pieces) < 2 or parts_of(label).form == "given":
        return [label]
    kinds = [_kind(piece) for piece in pieces[:-1]]
    if all(kind == "adjective" for kind in kinds):
        return [label]
    if len(pieces) == 2 and kinds[0] == "unknown":
        return None
    *first, last = pieces
    return [*first, *split_outside(last, _BEFORE_LAST)]


def _kind(piece: str) -> str:
    """Says whether a part of a label names a thing or only qualifies one."""
    text = split_strength(piece)[0].strip(" \"'*`")
    word = text.split()[-1].lower() if text.split() else ""
    content = content_of(text)
    if any(thing.concept for thing in content.things):
        return "noun"
    if word in SIZES or word in ROUND or word in NAMES or _ADJECTIVE.search(word):
        return "adjective"
    return "noun" if content.place is not None or re.search(r"[^sui]s$", word) else "unknown"
