"""Describes the surroundings of an object: nearest named background by colour and grain, measured without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.plugin import Mask, Pixels
from maia_nearest.colours import lab
from maia_nearest.whitening import Whitening

SIDE = 128
"""Side that surroundings are looked at."""

MIN_SHARE = 0.05
"""Least share of the image that must be surroundings for them to be named."""

PLAIN = 0.8
"""Mean absolute deviation of L*a*b* from the median below which surroundings are one plain colour."""

NEAR = 0.5
"""Least similarity at which a background is named. Measured on the collage pack: nine in ten surroundings of known
backgrounds are above it, under one in ten of unknown ones."""

NEIGHBOURS = 3
"""Backgrounds that vote on the name."""

SHARPNESS = 10.0
"""Weight of a neighbour: exp(SHARPNESS * similarity)."""

UNITS = 74
"""Length of a descriptor."""

VIEWS = 12
"""Random cuts of each library background."""

SCALES = (0.7, 1.4, 2.8, 5.6, 11.2)
"""Standard deviations, in pixels, of the Gaussians that measure the strength of detail."""


def descriptor(pixels: Pixels, mask: Mask) -> NDArray[np.float32]:
    """Describes colours and grain of the masked pixels.

    Returns:
        float32 of shape (74,): soft histograms of L*, a*, b* (three times 16 bins, square roots), the joint shares of
        lightness and chroma tone (2 x 8), and the strength of detail at five scales, across and down.
    """
    from scipy import ndimage

    colours = lab(pixels)
    values = colours[mask]
    parts: list[NDArray[np.floating]] = []
    for channel, (low, high) in enumerate(((0, 100), (-60, 60), (-60, 60))):
        counts, _ = np.histogram(values[:, channel].clip(low, high - 1e-3), 32, (low, high))
        soft = ndimage.gaussian_filter1d(counts / len(values), 1.0)
        parts.append(np.sqrt(soft.reshape(16, 2).sum(1).clip(0)))
    hue = np.arctan2(values[:, 2], values[:, 1])
    tone = ((hue + np.pi) / (2 * np.pi) * 8).astype(int).clip(0, 7) + 8 * (values[:, 0] > 50)
    chroma = np.hypot(values[:, 1], values[:, 2])
    parts.append(np.sqrt(np.bincount(tone, chroma, minlength=16) / (40 * len(values))))
    lightness = colours[..., 0]
    down, across = (_filters(side) for side in lightness.shape)
    for scale, (smooth_down, slope_down), (smooth_across, slope_across) in zip(SCALES, down, across, strict=True):
        for slope in (smooth_down @ lightness @ slope_across.T, slope_down @ lightness @ smooth_across.T):
            parts.append(np.log1p(scale * np.abs(slope)[mask].mean(keepdims=True)) * 0.5)
    return np.concatenate(parts).astype(np.float32)


@cache
def _filters(side: int) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Returns for each scale the Gaussian and its derivative on `side` pixels as matrices: (side, side) each.

    Products of these matrices equal `ndimage.gaussian_filter`, and let other threads run meanwhile.
    """
    from scipy import ndimage

    pixels = np.eye(side, dtype=np.float32)
    return [
        (ndimage.gaussian_filter1d(pixels, scale, axis=0), ndimage.gaussian_filter1d(pixels, scale, axis=0, order=1))
        for scale in SCALES
    ]


def plain(pixels: Pixels, mask: Mask) -> bool:
    """Says whether the masked pixels are all of one colour, but for the traces of compression."""
    values = lab(pixels[mask])
    return bool(np.abs(values - np.median(values, axis=0)).mean() < PLAIN)


@dataclass(frozen=True)
class Backgrounds:
    """Named backgrounds, each as several cuts.

    Attributes:
        concepts: Names of each background, the most specific first.
        whitening: The space that cuts are compared in.
        views: Unit vectors, shape (backgrounds, cuts, 74).
    """

    concepts: list[tuple[str, ...]]
    whitening: Whitening
    views: NDArray[np.float32]

    def name(self, pixels: Pixels, mask: Mask) -> str:
        """Returns the most specific name that most of the nearest backgrounds share, or nothing if none is near."""
        if not self.concepts:
            return ""
        similarity, votes = self.votes(pixels, mask)
        nearest = int(similarity.argmax())
        if similarity[nearest] < NEAR:
            return ""
        shares: dict[str, float] = {}
        for index in votes.nonzero()[0]:
            for name in self.concepts[index]:
                shares[name] = shares.get(name, 0.0) + float(votes[index])
        return next((name for name in self.concepts[nearest] if shares[name] > 0.5), "")

    def votes(self, pixels: Pixels, mask: Mask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compares the masked pixels with every background.

        Returns:
            Similarity of each background's nearest view, and each one's part in the vote of the nearest, which add up
            to 1: two float32 arrays of shape (backgrounds,).
        """
        similarity = (self.views @ self.whitening(small(pixels, mask))).max(1)
        nearest = np.argsort(-similarity, kind="stable")[:NEIGHBOURS]
        weights = np.exp(SHARPNESS * (similarity[nearest] - similarity[nearest[0]]))
        votes = np.zeros_like(similarity)
        votes[nearest] = weights / weights.sum()
        return similarity, votes


def small(pixels: Pixels, mask: Mask) -> NDArray[np.float32]:
    """Describes the masked part of an image at the side that backgrounds are compared at."""
    picture = np.asarray(PILImage.fromarray(pixels).resize((SIDE, SIDE), PILImage.Resampling.BOX))
    keep = np.asarray(PILImage.fromarray(mask).resize((SIDE, SIDE), PILImage.Resampling.NEAREST))
    return descriptor(picture, keep if keep.any() else np.ones_like(keep))


def cuts(pixels: Pixels, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Describes random square cuts of a background, from a third of its shorter side to all of it."""
    height, width = pixels.shape[:2]
    described = []
    for _ in range(VIEWS):
        side = max(1, round(min(height, width) * rng.uniform(0.35, 1)))
        y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        cut = pixels[y : y + side, x : x + side]
        described.append(small(cut, np.ones(cut.shape[:2], np.bool_)))
    return described


def learn(pictures: Sequence[Pixels], concepts: list[tuple[str, ...]]) -> Backgrounds:
    """Learns named backgrounds; none at all is fine."""
    rng = np.random.default_rng(0)
    described = [cuts(picture, rng) for picture in pictures] or [[np.zeros(UNITS, np.float32)]]
    views = np.asarray(described, np.float32)
    whitening = Whitening.fit(views)
    return Backgrounds(concepts, whitening, whitening(views))
