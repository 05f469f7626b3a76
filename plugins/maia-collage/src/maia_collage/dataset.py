"""Data sets of collages: scenes at random, every cut-out by itself, every background by itself."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from maia_collage.backgrounds import Background, drawable
from maia_collage.colours import RGB
from maia_collage.layout import Want, arrange
from maia_collage.pack import Cutout, Pack, Part, find, part_of
from maia_collage.scene import VERSION, Placed, Scene, fitting, image, object_masks
from maia_core.plugin import Image, PluginConfig, RunContext, content_id
from maia_labels.vocabulary import PATTERNS, PLAIN, vocabulary

CACHED_IMAGES = 64

TWO_OBJECTS = 0.25
"""Share of the collages that show two objects."""

EMPTY = 16
"""One collage in so many shows a background alone."""

COMPANIONS = {"leash": "dog"}
"""Things that come with another thing and never by themselves: a leash lies beside a dog."""

ACCOMPANIED = 2 / 3
"""Share of the things that have a companion which show it."""

SPLITS = {"train": 0, "held-out": 1}


class _Rendered:
    """What the three data sets share: ids, and the last few images kept."""

    name: str
    fingerprint: str
    pictures = "collages"

    def __init__(self, pack: Pack, ids: Sequence[str], draw: Callable[[int], Image]) -> None:
        self.pack = pack
        self.ids = ids
        self._draw = draw
        self._kept: OrderedDict[int, Image] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        if not 0 <= index < len(self.ids):
            raise IndexError(f"image {index} of {len(self.ids)}")
        with self._lock:
            if index in self._kept:
                self._kept.move_to_end(index)
                return self._kept[index]
        drawn = self._draw(index)
        with self._lock:
            self._kept[index] = drawn
            if len(self._kept) > CACHED_IMAGES:
                self._kept.popitem(last=False)
        return drawn


class CollageDataset(_Rendered):
    """Collages at random: every cut-out about equally often, on every kind of background.

    A quarter of the images show two objects, one in sixteen a background alone. Two of three dogs have a leash beside
    them, which comes in no other image (`COMPANIONS`). An image is drawn when it is asked for.
    """

    class Config(PluginConfig):
        """Options of the data set `collage`."""

        count: int = Field(1200, gt=0)
        """How many images."""
        size: int = Field(224, ge=16, le=2048)
        """Side of an image in pixels."""
        seed: int = Field(0, ge=0)
        """Which scenes are drawn."""
        split: Literal["train", "held-out"] = "train"
        """`held-out`: other scenes of the same cut-outs, for evaluation."""
        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""
        cutouts: Part = "all"
        """Which cut-outs are drawn: `seen` and `held-out` are halves that share none where a concept has several."""

    def __init__(self, config: Config, context: RunContext) -> None:
        pack = find(config.pack, context.cache).part(config.cutouts)
        self.config = config
        self.name = "collage" if config.split == "train" else "collage-held-out"
        digits = len(str(config.count - 1))
        self.fingerprint = content_id(
            f"{VERSION}/{pack.fingerprint}/{config.model_dump_json(exclude={'pack', 'cutouts'})}"
            f"{part_of(config.cutouts)}".encode()
        )
        super().__init__(pack, [f"{self.name}-{i:0{max(5, digits)}d}" for i in range(config.count)], self._image)

    def scene(self, index: int) -> Scene:
        """Returns what an image shows."""
        pack, config = self.pack, self.config
        key = [config.seed, SPLITS[config.split]]
        rng = np.random.default_rng([*key, 2, index])
        background = random_background(pack, rng, patterns=True)
        if index % EMPTY == EMPTY - 1:
            return Scene(background=background)
        cutouts = [cutout for cutout in pack.members(None) if cutout.concept not in COMPANIONS]
        turn = index - index // EMPTY
        order = np.random.default_rng([*key, 3, turn // len(cutouts)]).permutation(len(cutouts))
        chosen = [cutouts[order[turn % len(cutouts)]]]
        if rng.random() < TWO_OBJECTS:
            chosen.append(cutouts[rng.integers(len(cutouts))])
        # Companions have a generator of their own: without them every scene is what it was before there were any.
        chosen += self._companions(chosen, np.random.default_rng([*key, 4, index]))
        return Scene(background=background, objects=scattered(chosen, rng))

    def _companions(self, chosen: Sequence[Cutout], rng: np.random.Generator) -> list[Cutout]:
        shown = {name for cutout in chosen for name in vocabulary().concepts.path(cutout.concept)}
        companions = []
        for name, owner in COMPANIONS.items():
            own = self.pack.members(name)
            if owner in shown and own and rng.random() < ACCOMPANIED:
                companions.append(own[rng.integers(len(own))])
        return companions

    def concepts(self, index: int) -> list[str]:
        """Returns what an image shows: objects, then broader concepts, then the background."""
        return self.scene(index).concepts(self.pack)

    def _image(self, index: int) -> Image:
        return image(self.scene(index), self.pack, self.config.size, id=self.ids[index])


class CutoutsDataset(_Rendered):
    """Every cut-out by itself on a plain grey background, masked to the object: a library to compare with."""

    class Config(PluginConfig):
        """Options of the data set `collage-cutouts`."""

        size: int = Field(224, ge=16, le=2048)
        """Side of an image in pixels."""
        scale: float = Field(0.7, gt=0, le=1)
        """Size of the object: square root of its box's area as a fraction of the image's side."""
        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""
        cutouts: Part = "all"
        """Which cut-outs are shown: `seen` and `held-out` are halves that share none where a concept has several."""

    name = "collage-cutouts"

    def __init__(self, config: Config, context: RunContext) -> None:
        pack = find(config.pack, context.cache).part(config.cutouts)
        self.config = config
        self.fingerprint = content_id(
            f"{VERSION}/{pack.fingerprint}/{config.size}/{config.scale}{part_of(config.cutouts)}".encode()
        )
        self.cutouts = list(pack.members(None))
        super().__init__(pack, [f"cutout-{i:04d}" for i in range(len(self.cutouts))], self._image)

    def concepts(self, index: int) -> list[str]:
        """Returns the cut-out's concept and its broader ones."""
        return self._scene(index).concepts(self.pack)[: -len(self._scene(index).background.names())]

    def _scene(self, index: int) -> Scene:
        cutout = self.cutouts[index]
        placed = Placed(cutout=cutout.id, x=0.5, y=0.5, scale=fitting(self.config.scale, cutout.aspect))
        return Scene(background=Background(kind=PLAIN, seed=0, colour="grey"), objects=(placed,))

    def _image(self, index: int) -> Image:
        scene = self._scene(index)
        drawn = image(scene, self.pack, self.config.size, id=self.ids[index])
        return drawn.masked(object_masks(scene, self.pack, self.config.size)[0])


class BackgroundsDataset(_Rendered):
    """Every kind of background without objects, several of each."""

    class Config(PluginConfig):
        """Options of the data set `collage-backgrounds`."""

        size: int = Field(224, ge=16, le=2048)
        """Side of an image in pixels."""
        each: int = Field(4, gt=0, le=1000)
        """Images of each kind."""
        seed: int = Field(0, ge=0)
        """Which crops are drawn."""
        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""

    name = "collage-backgrounds"

    def __init__(self, config: Config, context: RunContext) -> None:
        pack = find(config.pack, context.cache)
        self.config = config
        self.fingerprint = content_id(
            f"{VERSION}/{pack.fingerprint}/{config.size}/{config.each}/{config.seed}".encode()
        )
        kinds = [(kind, "", "") for kind in drawable(pack) if kind != PLAIN and kind not in PATTERNS]
        kinds += [(PLAIN, colour, "") for colour in RGB]
        kinds += [
            (kind, colour, _contrast(colour)) for kind in PATTERNS for colour in ("red", "blue", "green", "black")
        ]
        self._scenes = [
            Scene(background=Background(kind=kind, seed=config.seed + number, colour=colour, second=second))
            for kind, colour, second in kinds
            for number in range(1 if kind == PLAIN else config.each)
        ]
        super().__init__(pack, [f"background-{i:04d}" for i in range(len(self._scenes))], self._image)

    def concepts(self, index: int) -> list[str]:
        """Returns the kind of background and its broader ones."""
        return self._scenes[index].concepts(self.pack)

    def _image(self, index: int) -> Image:
        return image(self._scenes[index], self.pack, self.config.size, id=self.ids[index])


def random_background(pack: Pack, rng: np.random.Generator, patterns: bool) -> Background:
    """Draws any background: each natural kind equally often, a plain colour as often as three of them.

    Args:
        pack: Where photographs come from.
        rng: Decides.
        patterns: Whether stripes, dots and checks may come too.
    """
    natural = [kind for kind in drawable(pack) if kind != PLAIN and (patterns or kind not in PATTERNS)]
    pick = int(rng.integers(len(natural) + 3))
    return filled(natural[pick] if pick < len(natural) else PLAIN, rng)


def filled(kind: str, rng: np.random.Generator, colour: str = "", second: str = "") -> Background:
    """Makes a background of a kind; a plain one or a pattern that was given no colour gets one at random."""
    seed = int(rng.integers(2**31))
    if not colour and (kind == PLAIN or kind in PATTERNS):
        colour = str(rng.choice(list(RGB)))
    if kind in PATTERNS and not second:
        second = _contrast(colour)
    return Background(kind=kind, seed=seed, colour=colour, second=second)


def _contrast(colour: str) -> str:
    return "black" if colour.endswith(("white", "yellow")) or colour.startswith("light") else "white"


def scattered(cutouts: Sequence[Cutout], rng: np.random.Generator) -> tuple[Placed, ...]:
    """Places cut-outs at random: one is large, several share the room."""
    low, high = (0.42, 0.7) if len(cutouts) == 1 else (0.5 / len(cutouts) ** 0.5, 0.68 / len(cutouts) ** 0.5)
    wants = [Want(cutout.aspect, rng.uniform(low, high)) for cutout in cutouts]
    spots = arrange(wants, (), rng)
    flips = rng.random(len(cutouts)) < 0.5
    return tuple(
        Placed(cutout=cutout.id, x=round(spot.x, 4), y=round(spot.y, 4), scale=round(spot.scale, 4), flip=bool(flip))
        for cutout, spot, flip in zip(cutouts, spots or (), flips, strict=bool(spots))
    )
