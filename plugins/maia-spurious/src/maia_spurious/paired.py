"""The data set `collage-paired`: the offline twin of Spawrious, with exact truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from maia_collage.backgrounds import Background, drawable
from maia_collage.pack import find
from maia_collage.scene import VERSION, Placed, Scene, fitting, image
from maia_core.plugin import Image, PluginConfig, RunContext, UsageError, content_id, did_you_mean
from maia_labels.vocabulary import vocabulary
from maia_spurious.cells import Split

PAIRED = 4
"""Number of classes, and of environments that are paired with them."""

Pairing = Literal["one-to-one", "many-to-many", "none"]


class PairedDataset:
    """Collages of four kinds of things in six environments; in `train` the kind and the environment go together.

    Every image shows one object, small enough that its environment fills most of the image.
    """

    domain = "pictures of one small animal or thing in an environment"

    class Config(PluginConfig):
        """Options of the data set `collage-paired`."""

        split: Split = "train"
        """Which part: `train` and `validation` (paired), `test` (pairing switched) or `balanced`."""
        count: int = Field(0, ge=0)
        """Number of images; 0: 1,600 of `train` and 960 of every other split."""
        classes: tuple[str, ...] = ("wildebeest", "rabbit", "penguin", "pig")
        """Four concepts of the collage pack."""
        environments: tuple[str, ...] = ("grass", "snow", "sand", "forest", "ocean waves", "brick")
        """Six backgrounds of the collage pack; the first four are paired with the classes."""
        pairing: Pairing = "one-to-one"
        """`one-to-one`, `many-to-many` (two classes share two environments), or `none` (environments are random)."""
        strength: float = Field(0.92, ge=0, le=1)
        """Share of the paired images that show a class in its own environment; the rest is drawn from the last two."""
        size: int = Field(224, ge=32, le=2048)
        """Side of an image in pixels."""
        scale: tuple[float, float] = (0.25, 0.45)
        """Smallest and largest object: square root of its box's area as a fraction of the image's side."""
        seed: int = Field(0, ge=0)
        """Random seed of the scenes."""
        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.pack = find(config.pack, context.cache)
        self.config = config
        self.classes = _distinct("classes", config.classes, PAIRED)
        self.environments = _distinct("environments", config.environments, PAIRED + 2)
        paths = vocabulary().concepts.path
        known = {name for cutout in self.pack.members(None) for name in paths(cutout.concept)}
        for name in self.classes:
            if name not in known:
                raise UsageError(f"the collage pack has no '{name}' for a class.{did_you_mean(name, sorted(known))}")
        for name in self.environments:
            if name not in drawable(self.pack):
                near = did_you_mean(name, drawable(self.pack))
                raise UsageError(f"the collage pack has no background '{name}' for an environment.{near}")
        low, high = config.scale
        if not 0 < low <= high <= 1:
            raise UsageError(f"scale: {low} to {high} is not a range within 0 and 1")
        # The name and the ids do not tell the split's pairing: programs may see them.
        self.name = f"collage-paired-{config.split}"
        count = config.count or (1600 if config.split == "train" else 960)
        self._key = [config.seed, 5, get_args(Split).index(config.split)]
        self.cells = np.array([self._cell(number) for number in range(count)], np.int64)
        self.ids: Sequence[str] = [f"{config.split}-{number:05d}" for number in range(count)]
        said = config.model_dump_json(exclude={"pack"})
        self.fingerprint = content_id(f"paired/{VERSION}/{self.pack.fingerprint}/{said}".encode())

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        if not 0 <= index < len(self.ids):
            raise IndexError(f"image {index} of {len(self.ids)}")
        kind, environment = self.cells[index].tolist()
        rng = np.random.default_rng([*self._key, index, 1])
        members = self.pack.members(self.classes[kind])
        cutout = members[rng.integers(len(members))]
        low, high = self.config.scale
        placed = Placed(
            cutout=cutout.id,
            x=round(rng.uniform(0.25, 0.75), 4),
            y=round(rng.uniform(0.25, 0.75), 4),
            scale=round(fitting(rng.uniform(low, high), cutout.aspect), 4),
            flip=bool(rng.random() < 0.5),
        )
        background = Background(kind=self.environments[environment], seed=int(rng.integers(2**31)))
        scene = Scene(background=background, objects=(placed,))
        return image(scene, self.pack, self.config.size, id=self.ids[index])

    def concepts(self, index: int) -> list[str]:
        """Names the image's class; its environment is not a label."""
        return [self.classes[self.cells[index, 0]]]

    def _cell(self, number: int) -> tuple[int, int]:
        """Returns the class and the environment of a scene."""
        if self.config.split == "balanced":
            return number % PAIRED, number // PAIRED % len(self.environments)
        rng = np.random.default_rng([*self._key, number, 0])
        kind = number % PAIRED
        if self.config.pairing == "none":
            return kind, int(rng.integers(len(self.environments)))
        switched = self.config.split == "test"
        if not switched and rng.random() >= self.config.strength:
            return kind, PAIRED + int(rng.integers(2))
        if self.config.pairing == "one-to-one":
            return kind, (kind + switched) % PAIRED
        group = (kind // 2 + switched) % 2
        return kind, 2 * group + int(rng.integers(2))


def _distinct(name: str, values: tuple[str, ...], count: int) -> tuple[str, ...]:
    if len(set(values)) != count or len(values) != count:
        raise UsageError(f"{name}: give {count} different names, not {', '.join(values) or 'none'}")
    return values
