"""A small world to describe: six coloured discs, two patterned backgrounds, and a model that sees colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.context import Context
from maia_core.errors import UnreadableImage
from maia_core.image import Image
from maia_core.types import LayerInfo
from maia_nearest.describer import Nearest

OBJECTS = {
    "tomato": ((200, 30, 30), ("fruit", "food")),
    "cherry": ((150, 10, 60), ("fruit", "food")),
    "lime": ((40, 160, 40), ("fruit", "food")),
    "jeans": ((30, 60, 200), ("clothing",)),
    "scarf": ((130, 40, 170), ("clothing",)),
    "banana": ((240, 215, 40), ("fruit", "food")),
}


class ColourModel:
    """Implements the `Model` protocol: each of 216 colours' share of that of 4 x 4 cells where it is largest."""

    name = "colours"
    fingerprint = "colours-1"

    def __init__(self) -> None:
        self.calls = 0

    def layers(self) -> list[LayerInfo]:
        return [
            LayerInfo(name="cells", units=216, shape=(216, 4, 4), kind="main"),
            LayerInfo(name="mean", units=3, shape=(3,), kind="classes"),
        ]

    def activations(self, images: Sequence[Image], layer: str) -> NDArray[np.float32]:
        assert layer == "cells"
        self.calls += 1
        rows = []
        for image in images:
            small = np.asarray(image.pil().resize((48, 48), PILImage.Resampling.BOX)).astype(int)
            codes = (small * 6 // 256) @ np.array([36, 6, 1])
            cells = codes.reshape(4, 12, 4, 12).swapaxes(1, 2).reshape(16, 144)
            rows.append(np.max([np.bincount(cell, minlength=216) for cell in cells], axis=0))
        return np.sqrt(np.asarray(rows, np.float32) / 144)

    def unit(self, ref: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class Objects:
    """A labelled data set of discs; the image `broken` cannot be read."""

    name = "discs"

    def __init__(self, broken: int | None = None) -> None:
        self.broken = broken
        self.ids = list(OBJECTS)
        self.fingerprint = f"discs-{broken}"

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        if index == self.broken:
            raise UnreadableImage("it is broken")
        rows, columns = np.ogrid[:96, :96]
        disc = (rows - 48) ** 2 + (columns - 48) ** 2 < 40**2
        pixels = np.full((96, 96, 3), 255, np.uint8)
        pixels[disc] = OBJECTS[self.ids[index]][0]
        return Image.from_pixels(pixels).masked(disc)

    def concepts(self, index: int) -> tuple[str, ...]:
        return (self.ids[index], *OBJECTS[self.ids[index]][1])


class Grounds:
    """A labelled data set of two backgrounds: green noise and brown stripes."""

    name = "grounds"
    fingerprint = "grounds-1"
    ids = ("meadow", "planks")

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Image:
        return Image.from_pixels(ground(self.ids[index], seed=0))

    def concepts(self, index: int) -> tuple[str, ...]:
        return (self.ids[index],)


def ground(name: str, seed: int, side: int = 160) -> NDArray[np.uint8]:
    """Draws a background: uint8 of shape (side, side, 3)."""
    rng = np.random.default_rng(seed)
    if name == "meadow":
        return (np.array([90, 140, 60]) + rng.normal(0, 18, (side, side, 1))).clip(0, 255).astype(np.uint8)
    rows = np.arange(side)[:, None, None] // 8 % 2
    return np.broadcast_to(np.array([120, 80, 50]) + rows * 40, (side, side, 3)).astype(np.uint8)


Draw = Callable[..., Image]


@pytest.fixture
def draw() -> Draw:
    """Draws discs on a background: `draw("tomato", at=(80, 80), radius=40, on=...)`; `more` takes further discs."""

    def drawn(
        name: str,
        at: tuple[int, int] = (80, 80),
        radius: int = 36,
        on: NDArray[np.uint8] | tuple[int, int, int] = (128, 128, 128),
        more: Sequence[tuple[str, tuple[int, int], int]] = (),
    ) -> Image:
        pixels = np.empty((160, 160, 3), np.uint8)
        pixels[:] = on
        rows, columns = np.ogrid[:160, :160]
        for what, (y, x), size in ((name, at, radius), *more):
            pixels[(rows - y) ** 2 + (columns - x) ** 2 < size**2] = OBJECTS[what][0]
        return Image.from_pixels(pixels)

    return drawn


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that tests share, so that the small library is learned once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def model() -> ColourModel:
    return ColourModel()


@pytest.fixture
def make(model: ColourModel, shared_cache: Path) -> Callable[..., Nearest]:
    """Makes a describer of the small world."""

    def made(
        cache: Path | None = None, library: Objects | None = None, warnings: list[str] | None = None, **options: str
    ) -> Nearest:
        parts = {
            "model/colours/[]": model,
            "dataset/discs/[]": Objects() if library is None else library,
            "dataset/grounds/[]": Grounds(),
        }
        context = Context(parts=parts, cache=cache or shared_cache)
        context.warn = (warnings if warnings is not None else []).append
        settings = {"model": "colours", "library": "discs", "backgrounds": "grounds"} | options
        return Nearest(Nearest.Config(**settings), context)

    return made


@pytest.fixture
def nearest(make: Callable[..., Nearest]) -> Nearest:
    return make()


@pytest.fixture
def discs() -> Callable[..., Objects]:
    """The class of the small library, to make broken ones of."""
    return Objects


@pytest.fixture
def meadow() -> NDArray[np.uint8]:
    """A meadow that the library has not seen."""
    return ground("meadow", seed=7)
