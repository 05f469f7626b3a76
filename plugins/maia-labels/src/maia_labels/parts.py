"""What a label is made of: one concept, A OR B, A given B, or A and B together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice, product
from typing import Literal, NamedTuple

from maia_labels.content import content_of
from maia_labels.expression import any_of
from maia_labels.strengths import is_strength_unread, split_strength, with_strength

Form = Literal["one", "either", "given", "both"]

NOTHING = "anything"
"""A label that says nothing: what neutral prompts are written for."""

MAX_LABEL = 400
"""Characters of a label that are read; labels come from models and may be of any length."""

MAX_WAYS = 32
"""Ways to satisfy a label that are read: a hostile one could have millions."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EMPTY = _words(
    "image images picture pictures photo photos photograph photographs thing things object objects something anything"
    " everything stuff item items scene scenes content contents visual feature features pattern-like various general"
    " generic unknown any all some many different kinds kind of a an the in and or other etc natural everyday common"
    " concept concepts input inputs data pixels"
)
"""Words that tell no image from another."""

_GIVEN = r"given(?: that)?|in the presence of|only (?:when|if|with)|conditional on|(?:together|combined) with"
_LEVELS: tuple[tuple[Form, re.Pattern[str]], ...] = (
    ("given", re.compile(rf"\||\s+(?:{_GIVEN})\s+", re.IGNORECASE)),
    ("either", re.compile(r"\s+or(?:\s+|$)|;|\s+/\s+", re.IGNORECASE)),
    ("both", re.compile(r"\s+(?:AND)(?!\s+NOT\b)\s+|\s+&\s+|\s+as well as\s+")),
)
"""The operators, the loosest first. `and` in small letters may mean either: see `parts_of`."""

_LOOSE = re.compile(r",?\s+(?:and|with)\s+", re.IGNORECASE)


class Parts(NamedTuple):
    """A label, taken apart.

    Attributes:
        form: `one`: a single concept; `either`: A OR B OR ...; `given`: the first where the second is there too;
            `both`: all in one picture.
        parts: The texts: one for `one`, two for `given`, two or more else. A part may be of any form itself.
        strengths: Of each part of an `either`, its share of the strongest part, in (0, 1]; empty where none is stated.
    """

    form: Form
    parts: tuple[str, ...]
    strengths: tuple[float, ...] = ()


def parts_of(label: str) -> Parts:
    """Takes a label apart at its outermost operator.

    `|`, `given`, `OR`, `AND` and their like are operators, the loosest first; within parentheses they are not.
    "A with B" and "A and B"
    are `both` where the collage laboratory knows each side as something to draw, else one concept ("dog with long
    ears", "black and white stripes"). "A but not B" and "A AND NOT B" are one concept, "A without B".
    """
    whole = _bare(label)
    if (stated := split_strength(whole))[1] and _closes(stated[0]) == len(stated[0]) - 1:
        whole = _bare(stated[0])  # "(dogs OR cats) (40 %)"
    for form, operator in _LEVELS:
        pieces = split_outside(whole, operator)
        if len(pieces) > 1:
            parts = [cleaned(piece) for piece in pieces]
            if form == "given" and len(parts) > 2:
                parts = [parts[0], " AND ".join(parts[1:])]
            return Parts(form, tuple(parts), _strengths(pieces) if form == "either" else ())
    text = cleaned(whole)
    text = re.sub(r"\s+(?:but not|and not)\s+", " without ", text, flags=re.IGNORECASE)
    pieces = [cleaned(piece) for piece in split_outside(text, _LOOSE)]
    if len(pieces) > 1 and not _single(text) and all(map(_drawable, pieces)):
        return Parts("both", tuple(pieces))
    return Parts("one", (text,))


def _strengths(pieces: Sequence[str]) -> tuple[float, ...]:
    stated = [strength.share if (strength := split_strength(piece)[1]) else 1.0 for piece in pieces]
    shares = [min(max(share, 0.01), 1.0) for share in stated]
    return tuple(share / max(shares) for share in shares) if min(shares) < max(shares) else ()


def joins_strengths(label: str) -> bool:
    """Returns whether a label joins concepts and ends one of them with a strength: "dogs (80 %) OR cats"."""
    pieces = next((found for _, operator in _LEVELS if len(found := split_outside(_bare(label), operator)) > 1), [])
    return any(
        split_strength(piece)[1] is not None or is_strength_unread(piece) or joins_strengths(piece) for piece in pieces
    )


def joined(labels: Sequence[str], strengths: Sequence[float] = ()) -> str:
    """Joins the labels of an explanation into one; each names a concept to which the unit responds.

    Args:
        labels: The labels; empty ones are left out, and one that repeats keeps its greatest strength.
        strengths: Share of the exemplars' activation of each label. A label that is weaker than the strongest one gets
            its share of that one behind it: "tiger OR snow (40 %)".
    """
    shares: dict[str, float] = {}
    for text, share in zip(map(cleaned, labels), strengths, strict=False):
        shares[text] = max(shares.get(text, share), share)
    texts = list(dict.fromkeys(filter(None, map(cleaned, labels))))
    if len(texts) < 2:
        return "".join(texts)
    top = max(shares.values(), default=1.0)
    marked = [f"({text})" if parts_of(text).form in ("given", "both") else text for text in texts]
    return any_of(with_strength(m, shares.get(text, top) / top) for m, text in zip(marked, texts, strict=True))


def leaves(label: str) -> list[str]:
    """Returns the concepts that a label names, each once, in order."""
    parts = parts_of(label)
    if parts.form == "one":
        return list(parts.parts)
    return list(dict.fromkeys(leaf for part in parts.parts for leaf in leaves(part)))


def alternatives(label: str) -> list[tuple[str, ...]]:
    """Returns the ways to satisfy a label, each as the concepts that must be there together (`MAX_WAYS` at most)."""
    parts = parts_of(label)
    if parts.form == "one":
        return [parts.parts]
    ways = [alternatives(part) for part in parts.parts]
    if parts.form == "either":
        return [way for each in ways for way in each][:MAX_WAYS]
    return [tuple(dict.fromkeys(sum(chosen, ()))) for chosen in islice(product(*ways), MAX_WAYS)]


def says_nothing(label: str) -> bool:
    """Tells whether a label tells no image from another: it is empty, "images", "various things"."""
    return all(word in _EMPTY for word in re.findall(r"[\w'-]+", cleaned(label).lower()))


def cleaned(label: str) -> str:
    """Returns a label on one line, not too long, without its strength, outer quotes, parentheses and full stop."""
    text = _bare(label)
    while (stated := split_strength(text))[1]:
        text = _bare(stated[0])
    return text


def _bare(label: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in label.encode("utf-8", "replace").decode("utf-8"))
    text = " ".join(text.split())[:MAX_LABEL].strip()
    while True:
        bare = text.rstrip(".;, ").strip()
        if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'`*":
            bare = bare[1:-1].strip()
        if bare[:1] == "(" and _closes(bare) == len(bare) - 1:
            bare = bare[1:-1].strip()
        if bare == text:
            return text
        text = bare


def _closes(text: str) -> int:
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return at
    return -1


def split_outside(text: str, operator: re.Pattern[str]) -> list[str]:
    """Splits at an operator outside of parentheses; empty pieces are dropped."""
    depth, depths = 0, []
    for character in text:
        depth += character == "("
        depths.append(depth)
        depth = max(0, depth - (character == ")"))
    pieces, start = [], 0
    for found in operator.finditer(text):
        if depths[found.start()] == 0:
            pieces.append(text[start : found.start()])
            start = found.end()
    pieces.append(text[start:])
    return [piece for piece in map(_bare, pieces) if piece]


def _drawable(text: str) -> bool:
    content = content_of(text)
    return content.known and bool(content.place or any(thing.concept or thing.colours for thing in content.things))


def _single(text: str) -> bool:
    """Tells whether the laboratory reads a text as one thing or one background: "black and white stripes"."""
    content = content_of(text)
    return content.known and len(content.things) + (content.place is not None) == 1
