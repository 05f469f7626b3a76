"""The words for colours."""

from __future__ import annotations

COLOURS = (
    "red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink", "brown", "black", "grey", "white",
)  # fmt: skip
"""The basic colours: the eleven basic colour terms of English (Berlin and Kay 1969), and turquoise."""

NAMES = {
    **{name: name for name in COLOURS},
    "gray": "grey", "silver": "grey", "scarlet": "red", "crimson": "red", "maroon": "dark red", "ruby": "red",
    "golden": "yellow", "gold": "yellow", "cyan": "turquoise", "teal": "dark turquoise", "aqua": "turquoise",
    "navy": "dark blue", "azure": "light blue", "violet": "purple", "lilac": "light purple", "magenta": "pink",
    "beige": "light brown", "tan": "light brown", "khaki": "light brown", "cream": "light yellow",
    "emerald": "green", "olive": "dark green", "amber": "orange",
    "reddish": "red", "greenish": "green", "bluish": "blue", "yellowish": "yellow", "brownish": "brown",
}  # fmt: skip
"""Every known colour word with the colour that it stands for, after an optional shade."""

SHADES = {"dark": "dark", "deep": "dark", "light": "light", "pale": "light"}
"""Words that make a colour darker or lighter."""


def base(colour: str) -> str:
    """Returns the colour without its shade: `dark blue` is a blue."""
    return colour.rpartition(" ")[2]
