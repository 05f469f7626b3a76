"""Where an image's object is: what differs in colour from the image's borders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.plugin import Mask, Pixels
from maia_nearest.colours import lab

GRID = 64
"""Side of the map that saliency is computed on."""

BAND = 6
"""Width of the border strips, in cells of the map."""

NOISE = 8.0
"""Variance of L*a*b* that every strip is granted, so that a flat strip does not make every speck salient."""

SMALLEST = 0.004
"""Smallest object as a share of the image; less is taken for noise."""


@dataclass(frozen=True)
class Blob:
    """A connected region that stands out.

    Attributes:
        mask: Where it is, in the image's own size.
        contrast: Median distance of its colours from the borders', in standard deviations of the borders.
        mass: Its part of all that stands out, in [0, 1].
    """

    mask: Mask
    contrast: float
    mass: float


def blobs(pixels: Pixels) -> list[Blob]:
    """Finds what stands out from an image's borders, the most salient first; nothing in an even image."""
    from scipy import ndimage

    small = PILImage.fromarray(pixels).resize((GRID, GRID), PILImage.Resampling.BOX)
    colours = ndimage.gaussian_filter(lab(np.asarray(small)), (0.7, 0.7, 0))
    distance = border_distance(colours)
    salient = ndimage.gaussian_filter(distance, 1.5)
    height, width = pixels.shape[:2]
    smooth = PILImage.fromarray(salient.astype(np.float32)).resize((width, height), PILImage.Resampling.BICUBIC)
    values = np.asarray(smooth)
    threshold = otsu(salient)
    if threshold is None:
        return []
    labels, count = ndimage.label(values > threshold)
    index = np.arange(1, count + 1)
    mass = ndimage.sum_labels(values, labels, index)
    area = ndimage.sum_labels(labels > 0, labels, index) / values.size
    large = index[area >= SMALLEST]
    far = PILImage.fromarray(distance.astype(np.float32)).resize((width, height), PILImage.Resampling.BILINEAR)
    raw = np.asarray(far)
    total = float(mass.sum())
    found = [Blob(filled(labels == i), float(np.median(raw[labels == i])), float(mass[i - 1]) / total) for i in large]
    return sorted(found, key=lambda blob: -blob.mass)


def filled(mask: Mask) -> Mask:
    """Returns a mask whose holes are part of it: what `ndimage.binary_fill_holes` returns, in less time."""
    from scipy import ndimage

    outside, count = ndimage.label(~mask)
    touching = np.zeros(count + 1, np.bool_)
    for edge in (outside[0], outside[-1], outside[:, 0], outside[:, -1]):
        touching[edge] = True
    touching[0] = False
    return np.asarray(~touching[outside])


def border_distance(colours: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measures how far each cell's colour lies from the colours of the image's four border strips.

    Each strip is one Gaussian; the distance is Mahalanobis'. An object often touches one side, so the strip that a
    cell differs from most is left out and the mean of the other three is taken.

    Args:
        colours: L*a*b* of shape (height, width, 3).

    Returns:
        Distances of shape (height, width), in standard deviations.
    """
    strips = colours[:BAND], colours[-BAND:], colours[:, :BAND], colours[:, -BAND:]
    distances = []
    for strip in strips:
        samples = strip.reshape(-1, 3).astype(np.float64)
        inverse = np.linalg.inv(np.cov(samples.T, bias=True) + NOISE * np.eye(3))
        offset = colours - samples.mean(0)
        distances.append(np.sqrt(np.einsum("hwi,ij,hwj->hw", offset, inverse, offset)))
    return np.asarray(np.sort(np.stack(distances), axis=0)[:3].mean(0), np.float64)


def otsu(values: NDArray[np.floating]) -> float | None:
    """Returns the threshold that splits values into two classes best (Otsu 1979), or None where all are equal."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-3:
        return None
    counts, edges = np.histogram(values, 64, (low, high))
    centres = (edges[1:] + edges[:-1]) / 2
    weight, moment = np.cumsum(counts), np.cumsum(counts * centres)
    between = (moment[-1] * weight / weight[-1] - moment) ** 2 / (weight * (weight[-1] - weight) + 1e-9)
    return float(centres[np.argmax(between)])
