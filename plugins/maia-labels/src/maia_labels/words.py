"""The closed classes of words that prompts and instructions are read with."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_OBJECTS = 12

COUNTS = {
    "one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "both": 2, "couple": 2, "pair": 2, "few": 3, "several": 4, "multiple": 4,
    "various": 4, "some": 0, "group": 5, "herd": 5, "flock": 5, "pack": 5, "bunch": 5, "row": 4, "pile": 6, "many": 7,
    "lots": 7, "crowd": 8, "dozen": 12, "lot": 7, "dozens": 12, "hundreds": 12, "thousands": 12, "numerous": 7,
}  # fmt: skip
"""Number words; 0 leaves the number to the noun: one for a singular, `BARE_PLURAL` for a plural."""

BARE_PLURAL = 3
"""How many "tigers" are drawn where no number is given."""

SIZES = {
    "tiny": "tiny", "miniature": "tiny", "minuscule": "tiny", "small": "small", "little": "small", "big": "large",
    "large": "large", "huge": "huge", "giant": "huge", "enormous": "huge", "gigantic": "huge", "massive": "huge",
    "smaller": "small", "larger": "large", "bigger": "large", "medium": "", "closeup": "huge",
}  # fmt: skip
STRONGER = {"small": "tiny", "large": "huge", "tiny": "tiny", "huge": "huge", "": ""}

ROUND = _words("round circular spherical ball-shaped")

ZONE_WORDS = {
    "left": "left", "leftmost": "left", "right": "right", "rightmost": "right", "top": "top", "upper": "top",
    "bottom": "bottom", "lower": "bottom", "centre": "centre", "center": "centre", "middle": "centre",
    "centered": "centre", "centred": "centre", "central": "centre",
}  # fmt: skip

GENERIC = _words(
    "background backgrounds backdrop scene scenery landscape surface texture ground floor wall environment setting area"
    " canvas place terrain"
)
"""Nouns that make a background of the words before them."""

CONTAINERS = _words("bowl basket plate box bag glass cup slice piece vase bucket heap handful")
"""Nouns that, before "of", say how the next noun is served; a collage cannot show it."""

WILDCARDS = _words("thing object something item anything subject")
"""Words for an object of any concept."""

EMPTY = _words("nothing empty")

ARTICLES = _words("a an the this that these those any my his her its their our your another each every all")
COPULAS = _words("is are was were be being that which who there it there's it's has have having")
PREPOSITIONS = _words(
    "on in at against onto into over upon inside within across along through under near by beside before atop around"
    " behind amid among amongst beneath below above between to from for of"
)
CONNECTORS = _words("and with plus or but , . ; : & + alongside together next")
NEGATIONS = _words("without no not except excluding")

HARMLESS = _words(
    "realistic photorealistic real photographic photo photograph picture image high quality resolution detailed hd 4k"
    " clear sharp typical normal ordinary natural whole full isolated visible just only very alone itself shown"
    " close up color colour colored coloured red-coloured alone please so"
)
"""Words that ask for nothing that a collage could fail to show."""

PREAMBLE = re.compile(
    r"^(?:please )?(?:(?:draw|show|generate|create|make|depict|render)(?: me)? )?"
    r"(?:(?:an?|the|one) )?(?:(?:\w+ ){0,3}?(?:close ?up )?"
    r"(?:photo|photograph|picture|image|shot|snapshot|render|rendering|illustration|drawing|painting|closeup|close up)"
    r"(?: of| showing| depicting| with| that shows)) "
)
_OF_PICTURE = r"(?: of (?:the |an? )?(?:image|picture|photo|frame|scene|background|view))"
POSITION = re.compile(
    r"(?:(?:on|in|at|to|near|towards?) )?(?:the )?(?:far |very )?"
    r"(?P<words>(?:(?:upper|lower|top|bottom|left|right|centre|center|middle) ?)+)"
    r"(?:hand )?(?:(?:side|part|half|third|corner|edge|area|foreground)(?= |$))?" + _OF_PICTURE + r"?(?= [,.;]| |$)"
)
CORNER = re.compile(r"(?:in|at) (?:the|a|one) corner" + _OF_PICTURE + r"?(?= |$)")
_NOT_PICTURE = r"(?! (?:the |an? )?(?:image|picture|photo|frame|scene))"
RELATIONS = tuple(
    (re.compile(pattern + r"(?= |$)"), name)
    for pattern, name in (
        (rf"(?:(?:on|to|at) )?(?:the )?left(?: hand)?(?: side)? of{_NOT_PICTURE}", "left of"),
        (rf"(?:(?:on|to|at) )?(?:the )?right(?: hand)?(?: side)? of{_NOT_PICTURE}", "right of"),
        (r"left from", "left of"),
        (r"right from", "right of"),
        (r"on top of|above|over|atop|on the top of", "above"),
        (r"below|underneath|beneath|under", "below"),
        (
            r"next to|beside|near|close to|by|alongside|adjacent to|behind|in front of|around|among|between",
            "near",
        ),
    )
)
TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[,.;:&+]")
