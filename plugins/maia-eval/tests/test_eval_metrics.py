"""The figures against hand-made numbers and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maia_eval import metrics


def test_pearson_of_a_line_and_of_its_mirror() -> None:
    assert metrics.pearson([0, 1, 2, 3], [5, 7, 9, 11]) == pytest.approx(1)
    assert metrics.pearson([0, 1, 2, 3], [11, 9, 7, 5]) == pytest.approx(-1)


def test_predictions_that_are_all_the_same_tell_nothing_and_are_no_error() -> None:
    assert metrics.pearson([0.5] * 4, [1, 2, 3, 4]) == 0
    assert metrics.average_precision([0.5] * 4, [True, False, False, False]) == 0.25


def test_a_unit_that_is_the_same_everywhere_has_nothing_to_predict() -> None:
    assert metrics.pearson([1, 2, 3], [0, 0, 0]) is None
    assert metrics.average_precision([1, 2, 3], [False] * 3) is None
    assert metrics.average_precision([1, 2, 3], [True] * 3) is None
    assert metrics.mad([1, 2], [3, 3, 3]) is None
    assert metrics.auc([], [1.0]) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_average_precision_is_that_of_scikit_learn(pairs: list[tuple[int, bool]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    predicted, active = [p / 5 for p, _ in pairs], [a for _, a in pairs]
    ours = metrics.average_precision(predicted, active)
    if any(active) and not all(active):
        assert ours == pytest.approx(sklearn.average_precision_score(active, predicted))
    else:
        assert ours is None


def test_auc_counts_ties_half_and_mad_is_in_deviations_of_the_controls() -> None:
    assert metrics.auc([3, 1], [1, 0]) == pytest.approx((2 + 1.5) / 4)
    assert metrics.mad([5, 7], [1, 3]) == pytest.approx((6 - 2) / 1)


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
