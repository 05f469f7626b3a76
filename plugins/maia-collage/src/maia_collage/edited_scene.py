"""A scene that is being edited: what an instruction's words mean in it, and where its objects fit."""

from __future__ import annotations

import numpy as np

from maia_collage import select
from maia_collage.layout import ZONES, Link, Spot, overlap
from maia_collage.pack import Cutout, Pack
from maia_collage.scene import Placed, Scene, extent, fitting
from maia_labels.parsed import Thing
from maia_labels.phrase import Phrase, parse_phrase
from maia_labels.prompt import parse


class CannotEdit(Exception):
    """An edit cannot be made on this scene; the text, a warning, says why."""


class EditedScene:
    """A scene that is being edited, and warnings about it."""

    def __init__(self, scene: Scene, pack: Pack, rng: np.random.Generator, generated: bool) -> None:
        """Begins to edit; of an image that was not `generated`, as one of a data set, nobody learns what it shows."""
        self.scene, self.pack, self.rng, self.generated = scene, pack, rng, generated
        self.warnings: list[str] = []

    def shows(self) -> str:
        """Returns what the scene shows, as the end of a warning."""
        return f"; it shows {select.sentence(self.scene, self.pack)}" if self.generated else ""

    def phrase(self, text: str) -> Phrase:
        """Returns the phrase that a text is; "it" stands for everything in the scene."""
        if text in ("it", "them", "everything"):
            return Phrase(wildcard=True, plural=True)
        return parse_phrase(text)

    def means_background(self, phrase: Phrase, text: str) -> bool:
        """Returns whether a phrase means the background; raises `CannotEdit` for one that the scene does not have."""
        if phrase.entry and phrase.entry.background:
            if not select.is_background(phrase, self.scene):
                raise self._missing(text)
            return True
        return phrase.generic and phrase.entry is None

    def _missing(self, text: str) -> CannotEdit:
        return CannotEdit(f"there is no '{text}' in the image{self.shows()}")

    def matching(self, phrase: Phrase, text: str) -> list[int]:
        """Returns the numbers of the objects that a phrase means; raises `CannotEdit` where there are none."""
        indices: list[int] = []
        if not phrase.unknown and (phrase.entry or phrase.wildcard or phrase.colours or phrase.zones or phrase.round):
            indices = select.objects(phrase, self.scene, self.pack)
        if not indices:
            raise self._missing(text)
        count = phrase.count if phrase.count else len(indices)
        if len(indices) > 1 and not phrase.plural and phrase.count is None and "all" not in text.split():
            self.warnings.append(f"'{text}' fits {len(indices)} objects; changed all of them")
        return indices[:count]

    def thing(self, text: str) -> Thing:
        """Returns the thing that a text names; raises `CannotEdit` where it names none."""
        parsed = parse(text)
        if not parsed.things:
            raise CannotEdit(f"'{text}' names nothing that can take its place")
        if parsed.ignored:
            self.warnings.append(f"cannot show {', '.join(map(repr, parsed.ignored))}")
        return parsed.things[0]

    def reference(self, thing: Thing) -> int | None:
        """Returns the object already in the scene that a thing of an instruction refers to."""
        for index, placed in enumerate(self.scene.objects):
            if thing.concept in select.path(placed, self.pack):
                return index
        return None

    def where(self, text: str, index: int) -> tuple[tuple[str, ...], list[Link]]:
        """Returns the zones, or the relation to another object, in which a text places an object."""
        parsed = parse(f"a thing {text}")
        if parsed.links:
            near = self.reference(parsed.things[1])
            if near is None or near == index:
                raise CannotEdit(f"there is nothing in the image to move {text}{self.shows()}")
            return (), [(0, parsed.links[0][1], 1 + near - (near > index))]
        words = text.split()
        zones = list(parsed.things[0].zones) if parsed.things else []
        zones += ["top"] * any(w.startswith("up") and w != "upper" for w in words)
        zones += ["bottom"] * any(w.startswith("down") for w in words)
        if not zones:
            raise CannotEdit(f"'{text}' is not a place in the image; there are {', '.join(ZONES)}")
        return tuple(zones), []

    def replace(self, index: int, placed: Placed) -> None:
        """Puts an object in the place of another."""
        objects = list(self.scene.objects)
        objects[index] = placed
        self.scene = self.scene.with_objects(*objects)

    def spot(self, placed: Placed) -> Spot:
        """Returns the rectangle that an object takes."""
        width, height = extent(placed.scale, self.pack.cutout(placed.cutout).aspect)
        x = min(max(placed.x, width / 2), 1 - width / 2)
        y = min(max(placed.y, height / 2), 1 - height / 2)
        return Spot(x, y, width, height, placed.scale)

    def fitted(self, placed: Placed, index: int, cutout: Cutout) -> Placed:
        """Returns the object at its place, as large as it can be without covering another."""
        others = [self.spot(p) for i, p in enumerate(self.scene.objects) if i != index]
        scale = fitting(placed.scale, cutout.aspect)
        while True:
            candidate = placed.model_copy(update={"scale": short(scale)})
            spot = self.spot(candidate)
            if scale < 0.05 or not any(overlap(spot, other) for other in others):
                return candidate.model_copy(update={"x": short(spot.x), "y": short(spot.y)})
            scale *= 0.93


def short(value: float) -> float:
    """Returns a coordinate with the four digits that a scene keeps."""
    return round(value, 4)
