"""What a prompt asks for: things, a background, relations between things, and what must not be shown."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Thing:
    """Objects of one kind that a prompt asks for.

    Attributes:
        concept: What it is; None: anything.
        word: The name as it was written, where `concept` stands in for it or nothing is known of it.
        known: False for a name that the vocabulary lacks: `concept` is then to be found.
        count: How many.
        colours: Colour names, each with an optional shade.
        size: tiny, small, large, huge or nothing.
        zones: Position words of `layout.ZONES`.
        round: Whether it must be round.
    """

    concept: str | None = None
    word: str = ""
    known: bool = True
    count: int = 1
    colours: tuple[str, ...] = ()
    size: str = ""
    zones: tuple[str, ...] = ()
    round: bool = False


@dataclass(frozen=True)
class Place:
    """The background that a prompt asks for: a kind (None: any), its colours, and the word that it stands in for."""

    kind: str | None = None
    colours: tuple[str, ...] = ()
    word: str = ""
    known: bool = True


@dataclass
class Parsed:
    """What a prompt says.

    Attributes:
        things: What to draw, in the order of the prompt.
        place: The background; None where the prompt names none.
        links: Relations: index of a thing, relation, index of another.
        excluded: Concepts that must not be drawn; None in it stands for every object.
        ignored: Words without effect.
        warnings: What else the reader must know.
        understood: Whether anything was.
    """

    things: list[Thing] = field(default_factory=list)
    place: Place | None = None
    links: list[tuple[int, str, int]] = field(default_factory=list)
    excluded: list[str | None] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    understood: bool = False
