"""The data set `spawrious`: dogs of four breeds in six environments (Lynch et al. 2023, arXiv 2303.05470)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maia_core.plugin import RunContext, UsageError, content_id
from maia_datasets.decode import ImageOptions
from maia_datasets.encoded import EncodedImages
from maia_spurious.cells import Split

CLASSES = ("bulldog", "corgi", "dachshund", "labrador")
ENVIRONMENTS = ("desert", "jungle", "dirt", "mountain", "snow", "beach")

Variant = Literal["o2o_easy", "o2o_medium", "o2o_hard", "m2m_easy", "m2m_medium", "m2m_hard"]

BALANCED = 40
"""Images of each class in each environment of the split `balanced`."""

OWN = (0.97, 0.87)
"""Share of folders 0 and 1 that a one-to-one variant takes of a class's own environment; as many images as it leaves
out come from the filler environment."""


class OneToOne(NamedTuple):
    """Environments of bulldog, dachshund, labrador and corgi in training and in the test, and the filler."""

    train: tuple[str, str, str, str]
    test: tuple[str, str, str, str]
    filler: str


class ManyToMany(NamedTuple):
    """Environments of bulldog and dachshund, and of labrador and corgi, in training; the test swaps them."""

    first: tuple[str, str]
    second: tuple[str, str]


ORDER = ("bulldog", "dachshund", "labrador", "corgi")
"""Order of the breeds in the tables below, which is that of the publication and not of the labels."""

VARIANTS: dict[str, OneToOne | ManyToMany] = {
    "o2o_easy": OneToOne(("desert", "jungle", "dirt", "snow"), ("dirt", "snow", "desert", "jungle"), "beach"),
    "o2o_medium": OneToOne(("mountain", "beach", "dirt", "jungle"), ("jungle", "dirt", "beach", "snow"), "desert"),
    "o2o_hard": OneToOne(("jungle", "mountain", "snow", "desert"), ("mountain", "snow", "desert", "jungle"), "beach"),
    "m2m_easy": ManyToMany(("desert", "mountain"), ("dirt", "jungle")),
    "m2m_medium": ManyToMany(("beach", "snow"), ("mountain", "desert")),
    "m2m_hard": ManyToMany(("dirt", "jungle"), ("snow", "beach")),
}


class SpawriousDataset(EncodedImages):
    """Spawrious in its published layout, `{0,1}/ENVIRONMENT/BREED/*.png`.

    Files are sorted by name before they are cut, so that every machine has the same images.
    """

    domain = "photographs of one dog in an environment"

    class Config(ImageOptions):
        """Options of the data set `spawrious`."""

        root: Path
        """Folder that holds `0` and `1`, or `spawrious224`."""
        variant: Variant = "o2o_easy"
        """Which pairing of breeds and environments."""
        split: Split = "train"
        """Which part: `train`, `validation` (10 % of the paired images), `test` (pairing switched) or `balanced`."""
        per_folder: int = Field(3168, ge=40)
        """Number of images in every folder of a breed, as published; another number is refused."""

    def __init__(self, config: Config, context: RunContext) -> None:
        root = config.root.expanduser()
        root = root / "spawrious224" if (root / "spawrious224").is_dir() else root
        if not root.is_dir():
            raise UsageError(f"there is no folder {config.root}; set dataset.root to the folder of Spawrious")
        self._root, self._count = root, config.per_folder
        self.classes: Sequence[str] = CLASSES
        self.environments: Sequence[str] = ENVIRONMENTS
        made = _variant(VARIANTS[config.variant], config.split, config.per_folder)
        found = [(file, breed, place) for part in made for file, breed, place in self._files(*part)]
        if config.split in ("train", "validation"):
            found = [found[index] for index in held_out_tenth(len(found), config.split)]
        self._paths = [file for file, _, _ in found]
        self.cells = np.array(
            [(CLASSES.index(breed), ENVIRONMENTS.index(place)) for _, breed, place in found], np.int64
        )
        # An id must not tell breed or environment, and must be the same in every split.
        ids = [content_id(path.relative_to(root).as_posix().encode())[:16] for path in self._paths]
        sizes = [path.stat().st_size for path in self._paths]
        super().__init__(f"spawrious-{config.split}", ids, sizes, config)

    def encoded(self, index: int) -> bytes:
        """See `EncodedImages`."""
        return self._paths[index].read_bytes()

    def concepts(self, index: int) -> list[str]:
        """Names the image's breed; its environment is not a label."""
        return [CLASSES[self.cells[index, 0]], "dog"]

    def _files(self, folder: int, place: str, breed: str, cut: slice) -> Iterator[tuple[Path, str, str]]:
        """Yields some of the files of a breed in an environment, in the order of their names."""
        where = self._root / str(folder) / place / breed
        files = sorted(where.glob("*.png")) if where.is_dir() else []
        if len(files) != self._count:
            found = f"{len(files)} PNG images" if where.is_dir() else "no such folder"
            raise UsageError(
                f"{where} must hold {self._count} PNG images: found {found}. Unpack the whole archive again"
            )
        return ((file, breed, place) for file in files[cut])


Part = tuple[int, str, str, slice]
"""A folder's number, an environment, a breed, and which of the sorted files."""


def _variant(variant: OneToOne | ManyToMany, split: Split, count: int) -> list[Part]:
    """Returns what a split is made of."""
    everything = slice(None)
    if split == "balanced":
        # One-to-one training leaves these files out; many-to-many training takes folder 0 as a whole.
        folder = 1 if isinstance(variant, ManyToMany) else 0
        used = {*variant[0], *variant[1], *(variant[2:])}
        return [
            (folder, place, breed, slice(count - BALANCED, None))
            for breed in CLASSES
            for place in ENVIRONMENTS
            if place in used
        ]
    if isinstance(variant, ManyToMany):
        groups = [variant.first, variant.second]
        return [
            (0, place, breed, everything)
            for number, breed in enumerate(ORDER)
            for place in groups[(number // 2 + (split == "test")) % 2]
        ]
    if split == "test":
        return [
            (folder, place, breed, everything)
            for breed, place in zip(ORDER, variant.test, strict=True)
            for folder in (0, 1)
        ]
    parts: list[Part] = []
    for breed, place in zip(ORDER, variant.train, strict=True):
        for folder, share in enumerate(OWN):
            own = int(share * count)
            parts.append((folder, place, breed, slice(own)))
            parts.append((folder, variant.filler, breed, slice(count - own)))
    return parts


def held_out_tenth(count: int, split: Split) -> NDArray[np.int64]:
    """Returns the places of `train` (90 %) or `validation` (10 %) among `count` images, in ascending order.

    The same permutation serves both, so they share no image and together are all images.
    """
    order = np.random.default_rng(90).permutation(count)
    fit = round(0.9 * count)
    return np.sort(order[:fit] if split == "train" else order[fit:])
