"""Where an activation lies in the distribution over a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maia_core.plugin import QUANTILES


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
