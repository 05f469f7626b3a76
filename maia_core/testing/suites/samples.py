"""Images that the suites try plugins on, and how they compare what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from maia_core.errors import MaiaError
from maia_core.image import Image
from maia_core.testing.fakes import COLOURS, disc

T = TypeVar("T")

HOSTILE_TEXTS = (
    "",
    " \n\t ",
    "a red disc, " * 400,
    "{0} {unit} %s %(x)d",
    "\x00\x1b[31m\u202e</script>",
    "🐯 на снегу, 雪の上の虎",
    "../../etc/passwd",
)
"""Texts that a backbone may send and that break careless code."""

REFUSALS = (MaiaError, ValueError)
"""How a plugin may refuse arguments that do not fit together."""

ROUNDING = 1e-6
"""Rounding of float32 in a sum of many terms, as a fraction of the largest activation."""


def samples() -> list[Image]:
    """Returns seven titled images of different sizes and shapes: discs of three colours, a ramp, noise, one pixel."""
    ramp = np.broadcast_to(np.linspace(0, 255, 60, dtype=np.uint8)[None, :, None], (40, 60, 3))
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    tall = np.vstack([disc("red", 3).pixels(), disc("blue", 4).pixels()])
    images = [disc("red", 0), disc("green", 1, 64), disc("blue", 2, 40)]
    images += [Image.from_pixels(pixels) for pixels in (tall, ramp, noise, np.full((1, 1, 3), 200, np.uint8))]
    return [image.retitled(f"sample {n}") for n, image in enumerate(images)]


def halves() -> Image:
    """Returns an image whose left half is red and whose right half is blue, 64 by 64 pixels."""
    pixels = np.empty((64, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = COLOURS["red"], COLOURS["blue"]
    return Image.from_pixels(pixels)


def half_masks(image: Image) -> tuple[Image, Image]:
    """Returns the image masked to its left and to its right half."""
    left = np.zeros((image.height, image.width), np.bool_)
    left[:, : max(1, image.width // 2)] = True
    return image.masked(left), image.masked(~left)


def frozen(images: Iterable[Image]) -> list[tuple[str, str, bytes]]:
    """Returns what must not change of images that a plugin was given: id, title and pixels."""
    return [(image.id, image.title, image.pixels().tobytes()) for image in images]


def farthest(a: Image, b: Image) -> float:
    """Returns the largest difference between two images' pixels, 0 to 255; infinite for different sizes."""
    if (a.width, a.height) != (b.width, b.height):
        return float("inf")
    return float(np.abs(a.pixels().astype(np.int16) - b.pixels()).max())


def allowed(tolerance: float, activations: object) -> float:
    """Returns how far activations may be apart: a share of their spread, and the rounding of float32 beside it.

    A share of the largest activation would let a unit that is large everywhere and varies little depend on its batch by
    more than it varies. Of several units, the spread is that of the one which varies most.

    Args:
        tolerance: The share.
        activations: Floats of shape (images,) or (images, units).
    """
    values = np.asarray(activations, np.float64)
    return float(tolerance * np.ptp(values, axis=0).max() + ROUNDING * np.abs(values).max())


def in_threads(*calls: Callable[[], T]) -> list[list[T]]:
    """Runs functions at the same time, each three times, and returns the results of each."""
    with ThreadPoolExecutor(4) as pool:
        futures = [[pool.submit(call) for call in calls] for _ in range(3)]
        return [[futures[n][m].result() for n in range(3)] for m in range(len(calls))]
