"""Scenes of one class in which every attribute varies independently of the others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from maia_collage.backgrounds import Background
from maia_collage.dataset import filled
from maia_collage.layout import Want, arrange
from maia_collage.pack import Pack
from maia_collage.scene import Placed, Scene
from maia_planted.attributes import SMALL, VALUES, Attribute

CLASSES = ("rabbit", "penguin", "pig", "duck", "cow", "sheep", "lion", "deer", "donkey", "dog", "frog", "guitar")
"""The classes, all of which the collage pack shows in two cut-outs or more."""

PAINTED, NEIGHBOURED, SMALL_SHARE = 0.6, 0.5, 0.4
"""Shares of the scenes that show a painted object, an object of another class, a small object."""

OTHER_BACKGROUNDS = ("pebbles", "wood", "blue sky")
"""Backgrounds that no planted model depends on."""

COUNTS = (1, 1, 1, 2, 3)
"""Numbers of objects of the class, each drawn equally often."""


class Layout(NamedTuple):
    """What a scene shows: one value of each attribute.

    Attributes:
        colour: The colour that the objects of the class are painted in; empty for their own.
        background: The kind of background.
        small: Whether the objects are small.
        zones: Where a single object is: a side, and top or bottom.
        neighbour: An object of another class; empty for none.
        number: Number of objects of the class.
    """

    colour: str
    background: str
    small: bool
    zones: tuple[str, str]
    neighbour: str
    number: int

    def having(self, attribute: Attribute, rng: np.random.Generator, shown: bool = True) -> Layout:
        """Returns the same layout with an attribute, or with another value of it."""
        kind, value = attribute.kind, attribute.value
        if kind in ("colour", "background", "neighbour"):
            if not shown:
                others = ["" if kind != "background" else OTHER_BACKGROUNDS[0], *VALUES[kind]]
                value = str(rng.choice([other for other in others if other != value]))
            changed: dict[str, Any] = {kind: value}
            return self._replace(**changed)
        if kind == "size":
            return self._replace(small=(value == "small") == shown)
        if kind == "count":
            return self._replace(number=2 if (value == "several") == shown else 1)
        sides = ("left", "right") if value in ("left", "right") else ("top", "bottom")
        side = value if shown else sides[1 - sides.index(value)]
        zones = (side, self.zones[1]) if sides[0] == "left" else (self.zones[0], side)
        return self._replace(zones=zones, number=1)


def random_layout(rng: np.random.Generator) -> Layout:
    """Draws a layout."""
    return Layout(
        colour=str(rng.choice(VALUES["colour"])) if rng.random() < PAINTED else "",
        background=str(rng.choice([*VALUES["background"], *OTHER_BACKGROUNDS])),
        small=bool(rng.random() < SMALL_SHARE),
        zones=(str(rng.choice(["left", "right"])), str(rng.choice(["top", "bottom"]))),
        neighbour=str(rng.choice(VALUES["neighbour"])) if rng.random() < NEIGHBOURED else "",
        number=int(rng.choice(COUNTS)),
    )


def scene_of_layout(concept: str, layout: Layout, pack: Pack, rng: np.random.Generator) -> Scene:
    """Draws a scene of a class with a layout; `rng` decides all that the layout leaves open."""
    members = [cutout for cutout in pack.members(concept) if not layout.colour or not cutout.has_colour(layout.colour)]
    members = members or list(pack.members(concept))
    cutouts = [members[int(rng.integers(len(members)))] for _ in range(layout.number)]
    share = 1 / (layout.number + bool(layout.neighbour)) ** 0.5
    scale = rng.uniform(0.17, SMALL - 0.01) if layout.small else max(rng.uniform(0.4, 0.6) * share, SMALL + 0.02)
    zones = layout.zones if layout.number == 1 else ()
    wants = [Want(cutout.aspect, scale, zones) for cutout in cutouts]
    if layout.neighbour:
        beside = pack.members(layout.neighbour)
        cutouts.append(beside[int(rng.integers(len(beside)))])
        wants.append(Want(cutouts[-1].aspect, rng.uniform(0.25, 0.35)))
    spots = arrange(wants, (), rng)
    flips = rng.random(len(cutouts)) < 0.5
    background: Background = filled(layout.background, rng)
    return Scene(
        background=background,
        objects=tuple(
            Placed(
                cutout=cutout.id,
                x=round(spot.x, 4),
                y=round(spot.y, 4),
                scale=round(spot.scale, 4),
                flip=bool(flip),
                colour=layout.colour if place < layout.number else "",
            )
            for place, (cutout, spot, flip) in enumerate(zip(cutouts, spots or (), flips, strict=bool(spots)))
        ),
    )
