"""Colours by name, and how smooth a surface is: what can be measured without a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Mask, Pixels

NAMES = ("black", "grey", "white", "red", "orange", "brown", "yellow", "green", "turquoise", "blue", "purple", "pink")
"""The eleven basic colour terms of English (Berlin and Kay 1969), and turquoise between green and blue."""

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
_WHITE = np.array([0.9505, 1.0, 1.089], np.float32)


def lab(pixels: Pixels) -> NDArray[np.float32]:
    """Converts 8-bit sRGB of shape (..., 3) to CIE L*a*b* (D65): L in [0, 100], a and b about [-110, 110]."""
    value = np.arange(256, dtype=np.float32) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
    xyz = linear[pixels] @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def classify(pixels: Pixels) -> NDArray[np.intp]:
    """Names the colour of each pixel of shape (..., 3): indices into `NAMES`.

    The borders lie in lightness, chroma and hue angle of L*a*b*: little chroma is black, grey or white; the warm hues
    are split by lightness and chroma into red, pink, orange, brown and yellow.
    """
    lightness, a, b = np.moveaxis(lab(pixels), -1, 0)
    chroma = np.hypot(a, b)
    hue = np.degrees(np.arctan2(b, a)) % 360
    red, warm = (hue < 44) | (hue >= 352), (hue >= 44) & (hue < 82)
    rules = [
        ((lightness < 14) | ((lightness < 24) & (chroma < 12)), "black"),
        ((lightness >= 86) & (chroma < 12), "white"),
        (chroma < 12, "grey"),
        (red & (lightness > 58), "pink"),
        (red & (chroma < 28) & (hue >= 20) & (hue < 44), "brown"),
        (red, "red"),
        (warm & (lightness > 50) & (chroma > 44), "orange"),
        (warm, "brown"),
        ((hue >= 82) & (hue < 96) & ((lightness < 55) | (chroma < 26)), "brown"),
        (hue < 110, "yellow"),
        (hue < 172, "green"),
        (hue < 226, "turquoise"),
        (hue < 304, "blue"),
        ((lightness > 60) & (hue >= 318), "pink"),
        (hue < 340, "purple"),
    ]
    return np.select([rule for rule, _ in rules], [NAMES.index(name) for _, name in rules], NAMES.index("pink"))


def shares(pixels: Pixels, mask: Mask) -> dict[str, float]:
    """Measures which share of the masked pixels each colour has, the largest first; empty where the mask is."""
    counts = np.bincount(classify(pixels[mask]), minlength=len(NAMES))
    order = np.argsort(-counts, kind="stable")
    return {NAMES[i]: float(counts[i] / counts.sum()) for i in order if counts[i]}


def texture(pixels: Pixels, mask: Mask) -> str:
    """Says how much lightness varies between neighbouring pixels inside of the mask.

    Returns:
        `smooth`, `fine` or `rough`: the mean difference of L* between neighbours is below 1.5, below 6, or above;
        an empty string where no two neighbours are inside.
    """
    lightness = lab(pixels)[..., 0]
    steps = [
        np.abs(np.diff(lightness, axis=axis))[np.logical_and(*halves)]
        for axis, halves in ((0, (mask[1:], mask[:-1])), (1, (mask[:, 1:], mask[:, :-1])))
    ]
    step = np.concatenate(steps)
    if not step.size:
        return ""
    mean = float(step.mean())
    return "smooth" if mean < 1.5 else "fine" if mean < 6 else "rough"
