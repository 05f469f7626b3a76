"""Figures over units: what is missing, and too few of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maia_eval import metrics


def test_wilson_is_inside_the_unit_interval_even_for_all() -> None:
    all_right = metrics.share(10, 10)
    assert all_right.value == 1
    assert all_right.low == pytest.approx(0.7225, abs=1e-3)
    assert all_right.high == 1
    assert math.isnan(metrics.share(0, 0).value)


def test_the_bootstrap_covers_repeats_and_ignores_what_is_missing() -> None:
    values = np.random.default_rng(0).normal(3, 1, 50).tolist()
    estimate = metrics.mean([*values, None], 7)
    assert estimate == metrics.mean([*values, None], 7)
    assert estimate.n == 50
    assert estimate.low < 3 < estimate.high
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 / math.sqrt(50), rel=0.25)
    assert math.isnan(metrics.mean([None], 0).value)
    assert math.isnan(metrics.mean([1.0], 0).low)
