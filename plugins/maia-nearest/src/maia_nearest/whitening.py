"""A space in which two views of one thing are near each other: features whitened by how views of one thing differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RIDGE = 0.3
"""Variance granted to every direction, as a fraction of the mean within-thing variance."""

QUIET = 0.1
"""Least standard deviation of a unit that it is divided by, as a fraction of the mean one."""


@dataclass(frozen=True)
class Whitening:
    """Maps features to unit vectors whose dot product says how likely two views show the same thing.

    It is the whitening step of linear discriminant analysis: directions in which views of one thing differ (its
    background, its size, the side it shows) count less. Only those directions are kept, so it is cheap for any
    number of units.

    Attributes:
        mean: Mean of all views, shape (units,).
        axes: Orthonormal directions of within-thing variance, shape (axes, units).
        damping: What is taken from each of those directions, in [0, 1), shape (axes,).
        scale: Standard deviation of each unit, so that no unit counts by its size alone, shape (units,).
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    damping: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, views: NDArray[np.float32]) -> Whitening:
        """Learns from several views of each thing: shape (things, views, units)."""
        units = views.shape[-1]
        flat = views.reshape(-1, units)
        mean, scale = flat.mean(0), flat.std(0)
        # A unit that hardly varies in the library must not decide when it is active elsewhere.
        scale = np.maximum(scale, QUIET * max(float(scale.mean()), 1e-6))
        within = ((views - views.mean(1, keepdims=True)) / scale).reshape(-1, units)
        _, deviation, axes = np.linalg.svd(within, full_matrices=False)
        variance = deviation**2 / len(within)
        ridge = RIDGE * max(float(variance.sum()) / units, 1e-9)
        damping = 1 - np.sqrt(ridge / (variance + ridge))
        return cls(mean, axes.astype(np.float32), damping.astype(np.float32), scale)

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps features of shape (..., units) to unit vectors of the same shape."""
        # As one matrix: a product for each of the leading indices would read the axes again for each.
        centred = ((features - self.mean) / self.scale).reshape(-1, features.shape[-1])
        white = centred - (centred @ self.axes.T * self.damping) @ self.axes
        unit = white / np.maximum(np.linalg.norm(white, axis=-1, keepdims=True), 1e-9)
        return np.asarray(unit, np.float32).reshape(features.shape)
