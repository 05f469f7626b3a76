"""Random surfaces to lay library objects on, so that they are known whatever is behind them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.plugin import Pixels

Opacity = NDArray[np.uint8]
"""How opaque each pixel is: shape (height, width), 0 to 255."""


def surface(rng: np.random.Generator, side: int) -> Pixels:
    """Makes a surface of one random colour with random variation from coarse to fine: uint8 (side, side, 3)."""
    values = np.tile(rng.uniform(20, 235, 3), (side, side, 1))
    for cells in (2, 6, 18, 54, side):
        strength = rng.uniform(0, 22)
        grain = PILImage.fromarray(rng.normal(0, strength, (cells, cells)).astype(np.float32))
        tint = rng.normal(1, 0.3, 3)
        values += np.asarray(grain.resize((side, side), PILImage.Resampling.BICUBIC))[..., None] * tint
    return values.clip(0, 255).astype(np.uint8)


def paste(
    background: Pixels, cutout: Pixels, alpha: Opacity, size: float, place: tuple[float, float], flip: bool
) -> tuple[Pixels, Opacity]:
    """Lays a cut-out on a square background.

    Args:
        background: uint8 of shape (side, side, 3).
        cutout: Pixels of the object's box.
        alpha: Its opacity, uint8 of shape (height, width).
        size: Its longer side as a fraction of the background's.
        place: Where it stands in the room that is left, from 0 (left, top) to 1 (right, bottom).
        flip: Whether it is mirrored.

    Returns:
        The picture, and the object's opacity in it, shape (side, side).
    """
    side = background.shape[0]
    scale = size * side / max(alpha.shape)
    shape = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
    objects = [PILImage.fromarray(part).resize(shape, PILImage.Resampling.LANCZOS) for part in (cutout, alpha)]
    if flip:
        objects = [part.transpose(PILImage.Transpose.FLIP_LEFT_RIGHT) for part in objects]
    picture, opacity = PILImage.fromarray(background), PILImage.new("L", (side, side))
    corner = (round(place[0] * (side - shape[0])), round(place[1] * (side - shape[1])))
    picture.paste(objects[0], corner, objects[1])
    opacity.paste(objects[1], corner)
    return np.asarray(picture), np.asarray(opacity)
