"""What a picture is asked to show, in the few terms that the scientist reasons in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLAIN = "plain grey"
"""The background of choice where the background is not what is tested."""


ANYTHING = "thing"
"""Stands for any object."""


@dataclass(frozen=True)
class Scene:
    """One condition of an experiment.

    Attributes:
        things: Name and colour of each object, the colour "" where it is left open; "thing" stands for any object.
        background: What lies behind them, "" where that is left open. Plain ones are called "plain red" and so on.
        pattern: A surface that fills the picture ("stripes"); such a scene has no things.
        tint: The colour of the pattern.
    """

    things: tuple[tuple[str, str], ...] = ()
    background: str = ""
    pattern: str = ""
    tint: str = ""

    @property
    def prompt(self) -> str:
        """The scene in plain English."""
        if self.pattern:
            return f"{self.tint} {self.pattern}".strip()
        plain = self.background.startswith("plain ")
        place = f"a {self.background.removesuffix(' background')} background" if plain else self.background
        if not self.things:
            return place
        things = " and ".join(with_article(f"{colour} {name}".strip()) for name, colour in self.things)
        return f"{things} on {place}" if place else things

    @property
    def open(self) -> bool:
        """Whether the picture of a single object leaves open what a look would tell: its colour, or what it is."""
        return len(self.things) == 1 and (self.things[0][0] == ANYTHING or self.things[0][1] == "")

    def to_plain(self) -> dict[str, Any]:
        """Returns the scene as a dict of plain values, defaults left out."""
        plain: dict[str, Any] = {}
        if self.things:
            plain["things"] = [f"{colour}|{name}" if colour else name for name, colour in self.things]
        for key in ("background", "pattern", "tint"):
            if value := getattr(self, key):
                plain[key] = value
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Scene:
        """Reads what `to_plain` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            things = tuple((t.rpartition("|")[2], t.rpartition("|")[0]) for t in plain.get("things", ()))
            return cls(things, *(str(plain.get(key, "")) for key in ("background", "pattern", "tint")))
        except (AttributeError, TypeError) as error:
            raise ValueError("not a scene") from error


def thing(name: str, colour: str = "", background: str = PLAIN) -> Scene:
    """Returns a scene with one object."""
    return Scene(((name, colour),), background)


def together(names: Sequence[tuple[str, str]], background: str = PLAIN) -> Scene:
    """Returns a scene with several objects, given as name and colour."""
    return Scene(tuple(names), background)


def with_article(noun: str) -> str:
    """Puts "a" or "an" before a noun; plural forms and proper phrases keep none."""
    if noun.endswith("s") and not noun.endswith(("ss", "us", "is")):
        return noun
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"
