"""What a unit truly responds to: its activation in every class and environment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import UsageError

SELECTIVE = 0.8
"""A unit is selective if one class explains more than this share of the variance over all cells."""


class UnitTruth(NamedTuple):
    """The two-way table of a unit, class by environment.

    Attributes:
        table: Mean activation in each cell, float64 of shape (classes, environments); NaN where there is no image.
        share: Largest share of the cells' variance that one class against all others explains, in [0, 1].
        environment: Share that the environments' means explain, in [0, 1].
        best: The class that explains `share`.
    """

    table: NDArray[np.float64]
    share: float
    environment: float
    best: int

    @property
    def selective(self) -> bool:
        """Whether one class explains more than `SELECTIVE` of the variance."""
        return self.share > SELECTIVE


def unit_truth(activations: NDArray[np.float32], cells: NDArray[np.int64], shape: tuple[int, int]) -> UnitTruth:
    """Returns the truth of one unit, by a two-way analysis of variance of the cells' means.

    The share of a class is the squared correlation of the cells' means with the indicator of that class; only a class
    whose mean exceeds that of the others counts.

    Args:
        activations: Activation on each image, shape (images,).
        cells: Class and environment of each image, shape (images, 2).
        shape: Number of classes and of environments; environments without any image are left out.

    Raises:
        UsageError: there are fewer than two classes or two environments, or a cell has no image.
    """
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (cells[:, 0], cells[:, 1]), activations)
    np.add.at(counts, (cells[:, 0], cells[:, 1]), 1)
    used = counts.any(axis=0)
    if min(shape[0], int(used.sum())) < 2:
        raise UsageError("a unit's truth needs images of at least two classes and two environments")
    if not counts[:, used].all():
        raise UsageError("a unit's truth needs images of every class in every environment")
    table = np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0)
    deviation = table[:, used] - table[:, used].mean()
    total = float((deviation**2).sum())
    if total <= 1e-12 * max(1.0, float((table[:, used] ** 2).sum())):
        return UnitTruth(table, 0.0, 0.0, 0)
    rows, columns = deviation.shape
    means = deviation.mean(axis=1)
    # The contrast of one class against the others has the squared length columns * rows / (rows - 1).
    shares = np.where(means > 0, means**2 * columns * rows / (rows - 1) / total, 0.0)
    environment = float(rows * (deviation.mean(axis=0) ** 2).sum() / total)
    return UnitTruth(table, float(shares.max()), environment, int(shares.argmax()))
