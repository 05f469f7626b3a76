"""Figures over units, with their confidence intervals and their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maia_stats import bootstrap_mean, wilson

DRAWS = 5000
"""Bootstrap samples."""

LEVEL = 0.95
"""Confidence of every interval."""


class Estimate(NamedTuple):
    """A figure with the ends of its confidence interval; NaN where there are too few values."""

    value: float
    low: float
    high: float
    n: int


def mean(values: Sequence[float | None], seed: int, level: float = LEVEL) -> Estimate:
    """Returns the mean of the values that are not None, with a percentile bootstrap interval.

    Pass one value per unit: the interval takes the values for independent.
    """
    known = [value for value in values if value is not None]
    if not known:
        return Estimate(math.nan, math.nan, math.nan, 0)
    if len(known) == 1:
        return Estimate(known[0], math.nan, math.nan, 1)
    found = bootstrap_mean(known, level, np.random.default_rng([seed, len(known)]), DRAWS)
    return Estimate(*found, len(known))


def share(hits: float, of: int) -> Estimate:
    """Returns a share with its Wilson score interval; a tie may count as half a hit."""
    return Estimate(*wilson(hits, of, LEVEL), of) if of else Estimate(math.nan, math.nan, math.nan, 0)
