"""An image editor that changes a collage's scene as instructed and draws it again: all else stays pixel-identical."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from maia_collage import colours, select
from maia_collage.compose import SCALES, background_for, choose, generator
from maia_collage.generator import GRAMMAR
from maia_collage.instruction import UNDERSTOOD, Edit, read
from maia_collage.layout import ZONES, Link, Spot, Want, arrange, overlap
from maia_collage.nearest import method
from maia_collage.pack import Cutout, Pack, Part, find, part_of
from maia_collage.scene import VERSION, Placed, Scene, extent, fitting, image, scene_of
from maia_core.plugin import GeneratedImages, Image, PluginConfig, RunContext, UsageError, content_id, recordable
from maia_labels.phrase import Phrase, parse_phrase
from maia_labels.prompt import Place, Thing, parse
from maia_labels.vocabulary import PLAIN
from maia_labels.words import SIZES

SMALLER, LARGER = 0.6, 1.5
"""Factors of "smaller" and "larger"."""


class CannotEdit(Exception):
    """An edit cannot be made on this scene; the text, a warning, says why."""


class CollageEditor:
    """Edits collages as instructed, or leaves the image as it is, with a warning that says why."""

    cache_name = "collage-edits"

    class Config(PluginConfig):
        """Options of the editor `collage`."""

        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""
        cutouts: Part = "all"
        """Which cut-outs are drawn: `seen` and `held-out` are halves that share none where a concept has several."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.pack = find(config.pack, context.cache).part(config.cutouts)
        drawn = f"editor/{GRAMMAR}/{VERSION}/{self.pack.fingerprint}/{method()}{part_of(config.cutouts)}"
        self.fingerprint = content_id(drawn.encode())

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Edits each image by its instruction; several changes may be joined by "and".

        Raises:
            UsageError: images, instructions and seeds are not equally many, or the pack is damaged.
        """
        if not len(images) == len(instructions) == len(seeds):
            raise UsageError(
                f"{len(images)} images need as many instructions and seeds, not {len(instructions)} and {len(seeds)}"
            )
        done = [self._edit(*one) for one in zip(images, instructions, seeds, strict=True)]
        return GeneratedImages([picture for picture, _ in done], [warning for _, warning in done])

    def _edit(self, picture: Image, instruction: str, seed: int) -> tuple[Image, str]:
        clean, instruction = picture.clean or picture, recordable(instruction)
        scene = scene_of(picture, self.pack)
        if scene is None:
            return clean, "unchanged: only images that the collage laboratory drew can be edited by it"
        work = _Work(scene, self.pack, generator(seed, instruction))
        edits = read(instruction)
        if not edits:
            work.warnings.append(f"unchanged: the instruction is empty. Understood are: {UNDERSTOOD}")
        for edit in edits:
            work.apply(edit)
        if work.scene == scene:
            return clean, "; ".join(work.warnings) or "unchanged: the image is like that already"
        title = f"{clean.title}, {instruction}" if clean.title else instruction
        edited = image(
            work.scene, self.pack, clean.width, title, instruction=instruction, seed=seed, edited_from=clean.id
        )
        return edited, "; ".join(work.warnings)


class _Work:
    """A scene that is being edited, and warnings about it."""

    def __init__(self, scene: Scene, pack: Pack, rng: np.random.Generator) -> None:
        self.scene, self.pack, self.rng = scene, pack, rng
        self.warnings: list[str] = []

    def apply(self, edit: Edit | str) -> None:
        """Makes one change, or says why it cannot be made."""
        if isinstance(edit, str):
            self.warnings.append(f"unchanged: '{edit}' is not understood. Understood are: {UNDERSTOOD}")
            return
        steps: dict[str, Callable[[Edit], None]] = {
            "replace": self._replace, "add": self._add, "remove": self._remove, "recolour": self._recolour,
            "resize": self._resize, "move": self._move, "background": self._background, "flip": self._flip,
            "put": self._put,
        }  # fmt: skip
        try:
            steps[edit.change](edit)
        except CannotEdit as error:
            self.warnings.append(f"unchanged: {error}")

    # The changes.

    def _replace(self, edit: Edit) -> None:
        phrase = self._phrase(edit.what)
        if self._means_background(phrase, edit.what):
            self._background(edit)
            return
        target = parse_phrase(edit.to)
        if target.blank and target.colours:
            self._recolour(edit)
            return
        thing = self._thing(edit.to)
        chosen = self._matching(phrase, edit.what)
        cutouts = choose(replace(thing, count=len(chosen)), self.pack, self.rng, (), self.warnings)
        if not cutouts:
            return
        for index, (cutout, colour) in zip(chosen, cutouts, strict=True):
            old = self.scene.objects[index]
            scale = SCALES.get(thing.size, old.scale)
            placed = Placed(cutout=cutout.id, x=old.x, y=old.y, scale=scale, flip=old.flip, colour=colour)
            self._put_at(index, self._fitted(placed, index, cutout))

    def _add(self, edit: Edit) -> None:
        parsed = parse(edit.to)
        if not parsed.things:
            raise CannotEdit(f"'{edit.to}' names nothing that can be added")
        taken = [self._spot(placed) for placed in self.scene.objects]
        thing = parsed.things[0]
        chosen = choose(thing, self.pack, self.rng, (), self.warnings)
        if not chosen:
            return
        links: list[Link] = []
        for a, relation, b in parsed.links:
            if a == 0 and (near := self._reference(parsed.things[b])) is not None:
                links += [(i, relation, len(chosen) + near) for i in range(len(chosen))]
        usual = 0.6 / (len(taken) + len(chosen)) ** 0.5
        wants = [Want(one.cutout.aspect, SCALES.get(thing.size, usual), thing.zones) for one in chosen]
        spots = arrange(wants, links, self.rng, taken)
        if spots is None:
            raise CannotEdit(f"there is no room for '{edit.to}'")
        new = [
            Placed(
                cutout=cutout.id, x=_short(spot.x), y=_short(spot.y), scale=_short(spot.scale),
                flip=bool(self.rng.random() < 0.5), colour=colour,
            )
            for (cutout, colour), spot in zip(chosen, spots, strict=True)
        ]  # fmt: skip
        self.scene = self.scene.with_objects(*self.scene.objects, *new)

    def _remove(self, edit: Edit) -> None:
        phrase = self._phrase(edit.what)
        if self._means_background(phrase, edit.what):
            self._background(edit._replace(to=""))
            return
        gone = set(self._matching(phrase, edit.what))
        self.scene = self.scene.with_objects(*(p for i, p in enumerate(self.scene.objects) if i not in gone))

    def _recolour(self, edit: Edit) -> None:
        named = parse_phrase(edit.to)
        if not named.colours:
            raise CannotEdit(f"'{edit.to}' is not a colour; there are {', '.join(colours.RGB)}, dark or light")
        colour = named.colours[0]
        phrase = self._phrase(edit.what)
        if self._means_background(phrase, edit.what):
            behind = self.scene.background.model_copy(update={"colour": colour})
            self.scene = self.scene.model_copy(update={"background": behind})
            return
        for index in self._matching(phrase, edit.what):
            placed = self.scene.objects[index]
            if " " in colour or not placed.has_colour(colour, self.pack):
                self._put_at(index, placed.model_copy(update={"colour": colour}))

    def _resize(self, edit: Edit) -> None:
        word = edit.to.split()[-1]
        factor = SMALLER if word in ("smaller", "shrink", "reduce", "halve") else LARGER
        absolute = None if word in ("smaller", "larger", "bigger") else SCALES.get(SIZES.get(word, ""))
        for index in self._matching(self._phrase(edit.what), edit.what):
            placed = self.scene.objects[index]
            cutout = self.pack.cutout(placed.cutout)
            fitted = self._fitted(
                placed.model_copy(update={"scale": min(1.0, absolute or placed.scale * factor)}), index, cutout
            )
            if abs(fitted.scale - placed.scale) < 0.01 * placed.scale:
                raise CannotEdit(f"there is no room to make '{edit.what}' larger")
            self._put_at(index, fitted)

    def _move(self, edit: Edit) -> None:
        for index in self._matching(self._phrase(edit.what), edit.what):
            placed = self.scene.objects[index]
            cutout = self.pack.cutout(placed.cutout)
            others = [self._spot(p) for i, p in enumerate(self.scene.objects) if i != index]
            zones, links = self._where(edit.to, index)
            spot = _nearest_in(self._spot(placed), zones)
            if links or any(overlap(spot, other) for other in others):
                spots = arrange([Want(cutout.aspect, placed.scale, zones)], links, self.rng, others)
                if spots is None:
                    raise CannotEdit(f"there is no room for '{edit.what}' {edit.to}")
                spot = spots[0]
            scale = placed.scale if abs(spot.scale - placed.scale) < 0.005 else _short(spot.scale)
            if scale < placed.scale:
                self.warnings.append(f"made '{edit.what}' smaller to fit")
            self._put_at(index, placed.model_copy(update={"x": _short(spot.x), "y": _short(spot.y), "scale": scale}))

    def _background(self, edit: Edit) -> None:
        if not edit.to:
            place: Place | None = Place(PLAIN, ("white",))
        else:
            parsed = parse(edit.to)
            place = parsed.place
            if place is None and parsed.things:
                place = Place(None, (), edit.to, known=False)
        if place is None:
            raise CannotEdit(f"'{edit.to}' names no background")
        behind, said = background_for(place, self.pack, self.rng)
        self.warnings += said
        if behind is not None:
            self.scene = self.scene.model_copy(update={"background": behind})

    def _flip(self, edit: Edit) -> None:
        phrase = parse_phrase(edit.what)
        everything = edit.what.removeprefix("the ") in ("", "it", "image", "picture", "photo", "scene")
        chosen = range(len(self.scene.objects)) if everything else self._matching(phrase, edit.what)
        if not chosen:
            raise CannotEdit("there is nothing to flip in the image")
        for index in chosen:
            placed = self.scene.objects[index]
            self._put_at(index, placed.model_copy(update={"flip": not placed.flip}))

    def _put(self, edit: Edit) -> None:
        """Reads "put": "put the tiger on snow" changes the background, "put a hat on the tiger" adds a hat."""
        named = parse_phrase(edit.what)
        place = parse(edit.to).place
        known = not named.blank and (select.objects(named, self.scene, self.pack) if not named.unknown else [])
        if place is not None and (known or edit.what in ("it", "everything", "them")):
            self._background(edit._replace(change="background"))
        else:
            self._add(edit._replace(change="add", to=f"{edit.what} {edit.to}"))

    # What words mean in this scene.

    def _phrase(self, text: str) -> Phrase:
        if text in ("it", "them", "everything"):
            return Phrase(wildcard=True, plural=True)
        return parse_phrase(text)

    def _means_background(self, phrase: Phrase, text: str) -> bool:
        if phrase.entry and phrase.entry.background:
            if not select.is_background(phrase, self.scene):
                raise CannotEdit(
                    f"there is no '{text}' in the image; it shows {select.sentence(self.scene, self.pack)}"
                )
            return True
        return phrase.generic and phrase.entry is None

    def _matching(self, phrase: Phrase, text: str) -> list[int]:
        found: list[int] = []
        if not phrase.unknown and (phrase.entry or phrase.wildcard or phrase.colours or phrase.zones or phrase.round):
            found = select.objects(phrase, self.scene, self.pack)
        if not found:
            raise CannotEdit(f"there is no '{text}' in the image; it shows {select.sentence(self.scene, self.pack)}")
        wanted = phrase.count if phrase.count else len(found)
        if len(found) > 1 and not phrase.plural and phrase.count is None and "all" not in text.split():
            self.warnings.append(f"'{text}' fits {len(found)} objects; changed all of them")
        return found[:wanted]

    def _thing(self, text: str) -> Thing:
        parsed = parse(text)
        if not parsed.things:
            raise CannotEdit(f"'{text}' names nothing that can take its place")
        if parsed.ignored:
            self.warnings.append(f"cannot show {', '.join(map(repr, parsed.ignored))}")
        return parsed.things[0]

    def _reference(self, thing: Thing) -> int | None:
        """Returns the object already in the scene that a thing of an instruction refers to."""
        for index, placed in enumerate(self.scene.objects):
            if thing.concept in select.path(placed, self.pack):
                return index
        return None

    def _where(self, text: str, index: int) -> tuple[tuple[str, ...], list[Link]]:
        parsed = parse(f"a thing {text}")
        if parsed.links:
            near = self._reference(parsed.things[1])
            if near is None or near == index:
                raise CannotEdit(
                    f"there is nothing in the image to move {text}; it shows {select.sentence(self.scene, self.pack)}"
                )
            return (), [(0, parsed.links[0][1], 1 + near - (near > index))]
        words = text.split()
        zones = list(parsed.things[0].zones) if parsed.things else []
        zones += ["top"] * any(w.startswith("up") and w != "upper" for w in words)
        zones += ["bottom"] * any(w.startswith("down") for w in words)
        if not zones:
            raise CannotEdit(f"'{text}' is not a place in the image; there are {', '.join(ZONES)}")
        return tuple(zones), []

    # Geometry.

    def _put_at(self, index: int, placed: Placed) -> None:
        objects = list(self.scene.objects)
        objects[index] = placed
        self.scene = self.scene.with_objects(*objects)

    def _spot(self, placed: Placed) -> Spot:
        width, height = extent(placed.scale, self.pack.cutout(placed.cutout).aspect)
        x = min(max(placed.x, width / 2), 1 - width / 2)
        y = min(max(placed.y, height / 2), 1 - height / 2)
        return Spot(x, y, width, height, placed.scale)

    def _fitted(self, placed: Placed, index: int, cutout: Cutout) -> Placed:
        """Returns the object at its place, as large as it can be without covering another."""
        others = [self._spot(p) for i, p in enumerate(self.scene.objects) if i != index]
        scale = fitting(placed.scale, cutout.aspect)
        while True:
            candidate = placed.model_copy(update={"scale": _short(scale)})
            spot = self._spot(candidate)
            if scale < 0.05 or not any(overlap(spot, other) for other in others):
                return candidate.model_copy(update={"x": _short(spot.x), "y": _short(spot.y)})
            scale *= 0.93


def _nearest_in(spot: Spot, zones: Sequence[str]) -> Spot:
    """Returns the spot moved into the zones along each axis that they bind, and no further than needed."""
    x, y = spot.x, spot.y
    for zone in zones:
        low_x, high_x, low_y, high_y = ZONES[zone]
        x, y = min(max(x, low_x), high_x), min(max(y, low_y), high_y)
        if zone in ("left", "right"):
            x = spot.width / 2 + 0.02 if zone == "left" else 1 - spot.width / 2 - 0.02
        if zone in ("top", "bottom"):
            y = spot.height / 2 + 0.02 if zone == "top" else 1 - spot.height / 2 - 0.02
    x = min(max(x, spot.width / 2), 1 - spot.width / 2)
    y = min(max(y, spot.height / 2), 1 - spot.height / 2)
    return spot._replace(x=x, y=y)


def _short(value: float) -> float:
    return round(value, 4)
