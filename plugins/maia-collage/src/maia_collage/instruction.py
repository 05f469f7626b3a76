"""The grammar of editing instructions: which change, of what, to what."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from maia_labels.phrase import tokens

Change = Literal["replace", "add", "remove", "recolour", "resize", "move", "background", "flip", "put"]


class Edit(NamedTuple):
    """One change: its kind, its object and its result, as the instruction words them."""

    change: Change
    what: str
    to: str = ""


UNDERSTOOD = (
    "replace X with Y, add Y, remove X, change the colour of X to C, make X smaller or larger,"
    " move X to the left, flip X, change the background to B"
)

_SIZE = (
    r"(?:(?:much |a lot |a bit |slightly )?(?:smaller|larger|bigger)|tiny|small|little|large|big|huge|giant|enormous)"
)
_BACKGROUND = r"(?:the |its )?(?:back ?ground|backdrop|scene|scenery|setting)"
_WHERE = (
    r"(?:(?:to|on|in|into|at|towards?) )?(?:the )?(?:(?:far |upper |lower |top |bottom |left |right )*"
    r"(?:left|right|top|bottom|upper|lower|centre|center|middle|corner|up|down|upwards?|downwards?))\b.*"
)

_SHADED = r"(?:(?:dark|light|deep|pale|bright) )?\w+"
_INTO = r"(?:(?:in)?to|with|by|for|as)"
_CHANGE = r"(?:change|set|turn|switch|alter|make)"
_PATTERNS: tuple[tuple[str, Change], ...] = (
    (rf"{_CHANGE} the colou?r of (?P<what>.+?) (?:from \w+ )?(?:in)?to (?:be )?(?P<to>.+)", "recolour"),
    (rf"{_CHANGE} (?P<what>.+?) colou?r (?:from \w+ )?(?:in)?to (?P<to>.+)", "recolour"),
    (rf"(?:{_CHANGE}|replace|swap) {_BACKGROUND} (?:from .+? )?(?:{_INTO}|be) (?P<to>.+)", "background"),
    (rf"(?:make|turn|paint|colou?r|recolou?r|set) {_BACKGROUND} (?P<to>.+)", "background"),
    (rf"(?:use|add|give (?:it|the image)) (?P<to>.+) (?:as|for) {_BACKGROUND}", "background"),
    (rf"(?:remove|delete|erase|clear) {_BACKGROUND}(?P<to>)", "background"),
    (r"(?:replace|swap|exchange|substitute|switch) (?P<what>.+?) (?:with|by|for) (?P<to>.+)", "replace"),
    (rf"(?:make|turn) (?P<what>.+?) (?:to be )?(?P<to>{_SIZE})", "resize"),
    (rf"(?:change|set) the size of (?P<what>.+?) to (?P<to>{_SIZE})", "resize"),
    (r"(?P<to>shrink|reduce|enlarge|grow|magnify|double|halve) (?:the size of )?(?P<what>.+)", "resize"),
    (rf"(?:resize|scale) (?P<what>.+?) (?:to|to be) (?P<to>{_SIZE})", "resize"),
    (r"(?:change|turn|transform|convert|make|morph) (?P<what>.+?) (?:in)?to (?P<to>.+)", "replace"),
    (rf"(?:move|shift|put|place|push|drag) (?P<what>.+?) (?P<to>{_WHERE})", "move"),
    (r"(?:move|shift) (?P<what>.+?) (?P<to>(?:above|below|under|next to|beside|near|over|on top of).+)", "move"),
    (r"(?:put|place|show|set|move) (?P<what>.+?) (?P<to>(?:in|on|onto|into|at|against|in front of) .+)", "put"),
    (r"(?:add|insert|include|draw|put|place|paint in) (?P<to>.+)", "add"),
    (r"(?:remove|delete|erase|take away|take out|get rid of|drop) (?P<what>.+?)(?: from .+)?", "remove"),
    (r"(?:flip|mirror|reverse)(?: (?P<what>.+?))?(?: horizontally| left to right)?", "flip"),
    (rf"(?:paint|colou?r|recolou?r|make|turn|dye|tint) (?P<what>.+?) (?:in )?(?P<to>{_SHADED})", "recolour"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), change) for pattern, change in _PATTERNS)
_VERB = (
    r"(?:replace|swap|exchange|change|set|turn|make|add|insert|remove|delete|erase|move|shift|put|place|flip|mirror|"
    r"shrink|enlarge|resize|paint|recolou?r)"
)
_NEXT = re.compile(rf"(?: ?[,.;:&]+ ?(?:and |then )*| and (?:then )?| then )(?={_VERB} )")


def read(instruction: str) -> list[Edit | str]:
    """Reads an instruction: one `Edit` for every change, or the text of a change that is not understood."""
    text = " ".join(tokens(instruction)).strip(" .;:,")
    text = re.sub(r"^(?:please |now |can you |could you )+", "", text)
    return [_edit(part.strip(" .;:,")) for part in _NEXT.split(text) if part.strip(" .;:,")]


def _edit(text: str) -> Edit | str:
    for pattern, change in _COMPILED:
        if found := pattern.fullmatch(text):
            groups = found.groupdict()
            return Edit(change, groups.get("what") or "", groups.get("to") or "")
    return text
