"""Colours by name: what a picture's colours are called, and painting an object in another one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maia_labels.colours import base as base

RGB: dict[str, tuple[int, int, int]] = {
    "red": (200, 28, 32),
    "orange": (238, 128, 22),
    "yellow": (244, 214, 40),
    "green": (44, 150, 52),
    "turquoise": (40, 190, 180),
    "blue": (38, 82, 200),
    "purple": (122, 50, 165),
    "pink": (242, 130, 176),
    "brown": (122, 76, 40),
    "black": (20, 20, 22),
    "grey": (128, 128, 128),
    "white": (244, 244, 244),
}
"""The named colours and how each is painted: 8-bit sRGB."""

MAIN_SHARE = 0.45
"""Smallest share of an object's pixels in one colour at which the object counts as having that colour."""

LEADING_SHARE = 0.33
"""The same for the commonest of its colours."""


GREYISH = 0.12
"""Chroma (largest minus smallest channel, 0 to 1) up to which a pixel counts as grey when a picture is painted."""

COLOURFUL = 0.5
"""Share of pixels that are not grey from which on a picture's grey parts stay unpainted."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Returns how a colour with an optional shade (`red`, `dark red`) is painted, as 8-bit sRGB."""
    shade = colour.partition(" ")[0]
    factor, target = {"dark": (0.55, 0.0), "light": (0.5, 255.0)}.get(shade, (1.0, 0.0))
    red, green, blue = (round(factor * c + (1 - factor) * target) for c in RGB[base(colour)])
    return red, green, blue


def classify(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Names the colour of every pixel.

    The borders between names are in HSV: hue splits what is saturated and bright enough to have one.

    Args:
        pixels: 8-bit sRGB, shape (..., 3).

    Returns:
        Indices into `list(RGB)`, shape (...).
    """
    values = pixels.astype(np.float32) / 255
    value, low = values.max(-1), values.min(-1)
    chroma = value - low
    saturation = chroma / np.maximum(value, 1e-6)
    red, green, blue = np.moveaxis(values, -1, 0)
    safe = np.maximum(chroma, 1e-6)
    hue = 60 * np.select(
        [value == red, value == green],
        [((green - blue) / safe) % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    warm = (hue >= 12) & (hue < 42)
    index = {name: np.uint8(i) for i, name in enumerate(RGB)}
    conditions = [
        (value < 0.2, "black"),
        ((saturation < 0.14) & (value > 0.8), "white"),
        ((saturation < 0.14) | ((saturation < 0.25) & (value < 0.35)), "grey"),
        (((hue >= 330) | (hue < 12)) & (saturation < 0.58) & (value > 0.7), "pink"),
        ((hue >= 290) & (hue < 335) & (value > 0.55), "pink"),
        ((hue >= 335) | (hue < 12), "red"),
        (warm & (value > 0.68) & (saturation > 0.52), "orange"),
        (warm | ((hue < 62) & ((value < 0.5) | (saturation < 0.35))), "brown"),
        (hue < 66, "yellow"),
        (hue < 160, "green"),
        (hue < 192, "turquoise"),
        (hue < 252, "blue"),
    ]
    return np.select([c for c, _ in conditions], [index[n] for _, n in conditions], index["purple"]).astype(np.uint8)


def shares(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> dict[str, float]:
    """Measures the share of each colour among the masked pixels, the largest first; shares under 5 % are left out."""
    names = list(RGB)
    counts = np.bincount(classify(pixels[mask]), minlength=len(names))
    total = max(int(counts.sum()), 1)
    by_name = {
        name: round(count / total, 3)
        for name, count in zip(names, counts.tolist(), strict=True)
        if count >= 0.05 * total
    }
    return dict(sorted(by_name.items(), key=lambda item: -item[1]))


def repaint(pixels: NDArray[np.uint8], weight: NDArray[np.uint8], colour: str) -> NDArray[np.uint8]:
    """Paints a picture in one colour and keeps its light and shade.

    Luma (Rec. 601) is centred on the picture's weighted mean, which becomes the colour itself; darker pixels go
    towards black, lighter ones towards white. Of a picture that has colours, what is grey stays as it is: a car's
    tyres, a tiger's stripes.

    Args:
        pixels: 8-bit sRGB, shape (height, width, 3).
        weight: How much each pixel counts for the mean, shape (height, width), 0 to 255.
        colour: A name that `rgb` knows.

    Returns:
        Pixels of the same shape and type.
    """
    luma = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255
    mean = float((luma * weight).sum() / max(float(weight.sum()), 1.0))
    target = np.array(rgb(colour), dtype=np.float32)
    shade = np.clip(0.5 + 0.55 * (luma - mean), 0.12, 0.88)[:, :, None]
    painted = np.where(shade < 0.5, target * (2 * shade), target + (255 - target) * (2 * shade - 1))
    chroma = (pixels.max(-1).astype(np.float32) - pixels.min(-1)) / 255
    if float((weight * (chroma > GREYISH)).sum()) > COLOURFUL * float(weight.sum()):
        amount = np.clip((chroma - GREYISH / 2) / GREYISH, 0, 1)[:, :, None]
        painted = painted * amount + pixels * (1 - amount)
    result: NDArray[np.uint8] = painted.round().clip(0, 255).astype(np.uint8)
    return result
