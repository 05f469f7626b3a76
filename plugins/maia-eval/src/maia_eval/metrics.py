"""The figures: how well predictions and labels agree with measurements, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maia_standard.statistics import share as wilson

DRAWS = 5000
"""Bootstrap samples."""

LEVEL = 0.95
"""Confidence of every interval."""


class Estimate(NamedTuple):
    """A figure with the ends of its confidence interval; NaN where there is too little to say."""

    value: float
    low: float
    high: float
    n: int


def pearson(predicted: ArrayLike, measured: ArrayLike) -> float | None:
    """Returns Pearson's correlation of two sequences of one length.

    Returns:
        In [-1, 1]. 0 for predictions that are all the same: they tell nothing. None where the measurements are all the
        same, or there are fewer than three: there is nothing to predict.
    """
    x, y = (np.asarray(values, np.float64) for values in (predicted, measured))
    if x.size < 3 or _same(y):
        return None
    if _same(x):
        return 0.0
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))


def average_precision(predicted: ArrayLike, active: ArrayLike) -> float | None:
    """Returns the area under the precision-recall curve as average precision.

    Sum over the distinct predictions, the highest first, of precision times the recall that each adds; images with the
    same prediction count together, so that their order does not matter.

    Args:
        predicted: Higher is more likely active.
        active: Whether each is.

    Returns:
        In (0, 1]; the share of active ones for predictions that are all the same. None where none or all are active.
    """
    scores, hits = np.asarray(predicted, np.float64), np.asarray(active, np.bool_)
    if not hits.any() or hits.all():
        return None
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    last = np.append(np.diff(scores) != 0, True)
    found = np.cumsum(hits)[last]
    precision = found / (np.flatnonzero(last) + 1)
    return float(np.sum(precision * np.diff(found, prepend=0)) / hits.sum())


def auc(concept: ArrayLike, control: ArrayLike) -> float | None:
    """Returns CoSy's AUC: the chance that an image of the concept activates more than a control, ties half."""
    a, b = (np.asarray(values, np.float64) for values in (concept, control))
    if not (a.size and b.size):
        return None
    return float(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())


def mad(concept: ArrayLike, control: ArrayLike) -> float | None:
    """Returns CoSy's MAD: mean activation on the concept less that on controls, in standard deviations of controls.

    Returns:
        None where there are no images, or the controls are all the same.
    """
    a, b = (np.asarray(values, np.float64) for values in (concept, control))
    if not a.size or b.size < 2 or _same(b):
        return None
    return float((a.mean() - b.mean()) / b.std())


def mean(values: Sequence[float | None], seed: int, level: float = LEVEL) -> Estimate:
    """Returns the mean of what is there, with a percentile bootstrap interval over the values.

    The values are one a unit: what is the same unit must not be counted as several.
    """
    there = np.array([value for value in values if value is not None], np.float64)
    if not there.size:
        return Estimate(math.nan, math.nan, math.nan, 0)
    if there.size == 1:
        return Estimate(float(there[0]), math.nan, math.nan, 1)
    rng = np.random.default_rng([seed, there.size])
    means = there[rng.integers(there.size, size=(DRAWS, there.size))].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(there.mean()), float(low), float(high), int(there.size))


def share(hits: float, of: int) -> Estimate:
    """Returns a share with its Wilson score interval (Wilson 1927), of 95 %."""
    if not of:
        return Estimate(math.nan, math.nan, math.nan, 0)
    # Ties count half, so hits need not be whole; the interval's formula does not mind.
    return Estimate(*wilson(hits, of, LEVEL), of)  # type: ignore[arg-type]


def _same(values: NDArray[np.float64]) -> bool:
    spread = float(np.ptp(values))
    return not math.isfinite(spread) or spread <= 1e-12 * max(1.0, float(np.abs(values).max()))
