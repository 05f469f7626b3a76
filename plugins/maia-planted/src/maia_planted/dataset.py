"""The data set `planted`: images of the classes of planted models, with every attribute independent of the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from maia_collage.pack import Part, find, part_of
from maia_collage.scene import VERSION, Scene, image
from maia_core.plugin import Image, PluginConfig, RunContext, UsageError, content_id, did_you_mean
from maia_planted.scenes import CLASSES, random_layout, scene_of_layout

Split = Literal["train", "held-out"]


class VariedDataset:
    """Collages of twelve classes whose colour, background, size, position, neighbour and number vary independently."""

    class Config(PluginConfig):
        """Options of the data set `planted`."""

        each: int = Field(60, gt=0, le=5000)
        """Number of images of each class."""
        classes: tuple[str, ...] = CLASSES
        """Classes that the images show: some of the collage pack's concepts."""
        split: Split = "train"
        """`held-out`: other scenes, for evaluation."""
        size: int = Field(224, ge=32, le=2048)
        """Side of an image in pixels."""
        seed: int = Field(0, ge=0)
        """Random seed of the scenes."""
        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""
        cutouts: Part = "all"
        """Which cut-outs are drawn: `seen` and `held-out` are halves that share none where a concept has several."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.pack = find(config.pack, context.cache).part(config.cutouts)
        self.config = config
        known = sorted({name for cutout in self.pack.members(None) for name in _path(cutout.concept)})
        if not config.classes:
            raise UsageError("the data set planted needs a class; set dataset.classes")
        for name in config.classes:
            if name not in known:
                raise UsageError(f"the collage pack has no '{name}' for a class.{did_you_mean(name, known)}")
        self.name = f"planted-{config.split}"
        self.ids: Sequence[str] = [f"{config.split}-{n:05d}" for n in range(config.each * len(config.classes))]
        options = config.model_dump_json(exclude={"pack", "cutouts"})
        self.fingerprint = content_id(
            f"planted/{VERSION}/{self.pack.fingerprint}/{options}{part_of(config.cutouts)}".encode()
        )
        self.scene = lru_cache(maxsize=None)(self._scene)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        if not 0 <= index < len(self.ids):
            raise IndexError(f"image {index} of {len(self.ids)}")
        return image(self.scene(index), self.pack, self.config.size, id=self.ids[index])

    def label(self, index: int) -> str:
        """Returns the class of an image."""
        return self.config.classes[index % len(self.config.classes)]

    def concepts(self, index: int) -> list[str]:
        """Returns the class of an image, then all else that it shows: objects, broader concepts, the background."""
        return list(dict.fromkeys([self.label(index), *self.scene(index).concepts(self.pack)]))

    def _scene(self, index: int) -> Scene:
        rng = np.random.default_rng([self.config.seed, get_args(Split).index(self.config.split), 7, index])
        return scene_of_layout(self.label(index), random_layout(rng), self.pack, rng)


def _path(concept: str) -> list[str]:
    from maia_labels.vocabulary import vocabulary

    return vocabulary().concepts.path(concept)
