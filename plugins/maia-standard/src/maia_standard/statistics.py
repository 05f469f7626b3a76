"""Effect sizes with intervals, and where an activation lies in the distribution over a data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import QUANTILES

DRAWS = 2000
"""Bootstrap samples: the ends of a 95 % interval are then known to about half a percentile."""


class Effect(NamedTuple):
    """An effect size and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def auc(positives: Sequence[float], controls: Sequence[float], level: float, seed: int) -> Effect:
    """Returns the chance that a positive exceeds a control, ties half: the area under the ROC curve.

    Args:
        positives: One value a condition (the mean of its replicates): replicates of one prompt are no independent
            evidence. At least one.
        controls: Likewise.
        level: Confidence of the interval, in (0, 1); a percentile bootstrap over conditions.
        seed: Of the bootstrap.
    """
    above = _above(np.asarray(positives, np.float64), np.asarray(controls, np.float64))
    rows, columns = above.shape
    rng = np.random.default_rng(seed)
    drawn_rows = rng.multinomial(rows, np.full(rows, 1 / rows), DRAWS)
    drawn_columns = rng.multinomial(columns, np.full(columns, 1 / columns), DRAWS)
    resampled = np.einsum("da,ab,db->d", drawn_rows, above, drawn_columns, optimize=True) / above.size
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Effect(float(above.mean()), float(low), float(high))


def share(hits: int, of: int, level: float) -> Effect:
    """Returns a share with its Wilson score interval (Wilson 1927).

    Args:
        hits: How many.
        of: Of how many, at least one.
        level: Confidence of the interval, in (0, 1).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, shrink = hits / of, 1 + z**2 / of
    centre = (p + z**2 / (2 * of)) / shrink
    margin = z * math.sqrt(p * (1 - p) / of + (z / (2 * of)) ** 2) / shrink
    return Effect(p, max(0.0, centre - margin), min(1.0, centre + margin))


def mean(values: Sequence[float], level: float, seed: int) -> Effect:
    """Returns a mean with the percentile bootstrap interval; one value has no interval, both ends are the value.

    Args:
        values: At least one.
        level: Confidence of the interval, in (0, 1).
        seed: Of the bootstrap.
    """
    array = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).multinomial(array.size, np.full(array.size, 1 / array.size), DRAWS)
    low, high = np.quantile(drawn @ array / array.size, [(1 - level) / 2, (1 + level) / 2])
    return Effect(float(array.mean()), float(low), float(high))


def percentile(value: float, quantiles: Sequence[float]) -> float:
    """Returns which share of a data set lies below a value, interpolated between the quantiles that are known.

    Args:
        value: An activation.
        quantiles: The activation at each of `maia_core.types.QUANTILES`.
    """
    levels = np.asarray(quantiles, np.float64)
    if value > levels[-1]:
        return 1.0
    # Of equal quantiles (a unit that is mostly silent) the value is above those that are below it.
    below = int(np.searchsorted(levels, value, side="left"))
    if below == 0:
        return 0.0
    low, high = levels[below - 1], levels[below]
    part = (value - low) / (high - low) if high > low else 0.0
    return float(QUANTILES[below - 1] + part * (QUANTILES[below] - QUANTILES[below - 1]))


def _above(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(a[:, None] > b, 1.0, np.where(a[:, None] == b, 0.5, 0.0))
