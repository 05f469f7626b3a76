"""The statistics against closed forms, brute force, scikit-learn and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from maia_stats import (
    auc,
    auc_interval,
    average_precision,
    best_auc_by_chance,
    bootstrap_mean,
    column_aucs,
    mean_interval,
    paired_difference,
    pearson,
    standardised_difference,
    wilson,
)

SCORES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40)


def exact(value: float) -> object:
    return pytest.approx(value, abs=1e-12)


def pairs(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())


@settings(max_examples=60, deadline=None)
@given(SCORES)
def test_auc_is_the_share_of_pairs_and_scikit_learns(scores: list[tuple[int, bool]]) -> None:
    values, active = np.array([v / 5 for v, _ in scores]), np.array([a for _, a in scores])
    found = auc(values[active], values[~active])
    if not active.any() or active.all():
        assert found is None
    else:
        assert found == exact(pairs(values[active], values[~active]))
        assert found == exact(roc_auc_score(active, values))
        assert auc_interval(values[active], values[~active], 0.95, 0).value == exact(found)


def test_auc_counts_ties_half_and_takes_infinite_values() -> None:
    assert auc([3, 1], [1, 0]) == 0.875
    assert auc([math.inf, 1], [1, -math.inf]) == 0.875


def test_auc_of_every_column_ranks_each_column_by_itself() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (7, 5)).astype(np.float32), rng.integers(0, 4, (9, 5)).astype(np.float32)
    assert column_aucs(a, b).tolist() == [exact(pairs(a[:, i], b[:, i])) for i in range(5)]


def test_the_best_of_many_noise_columns_is_high_by_chance() -> None:
    noise = np.random.default_rng(0).normal(size=(12, 200))
    by_chance = best_auc_by_chance(noise, 6, 50, 0)
    assert by_chance.shape == (50,)
    assert 0.8 < np.median(by_chance) <= 1
    assert best_auc_by_chance(np.zeros((4, 3)), 2, 20, 0).tolist() == [0.5] * 20


def test_auc_interval_without_overlap_or_variation_has_no_width() -> None:
    assert auc_interval([3] * 8, [1] * 8, 0.95, 0) == (1.0, 1.0, 1.0)
    assert auc_interval([1] * 8, [1] * 8, 0.95, 0) == (0.5, 0.5, 0.5)


def test_auc_interval_of_few_conditions_is_wide_and_a_higher_level_widens_it() -> None:
    positives, controls = [0.2, 0.9, 0.4, 0.8], [0.1, 0.5, 0.3, 0.6]
    narrow, wide = auc_interval(positives, controls, 0.8, 0), auc_interval(positives, controls, 0.99, 0)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    many = auc_interval(positives * 20, controls * 20, 0.8, 0)
    assert many.high - many.low < 0.4 * (narrow.high - narrow.low)


@pytest.mark.parametrize(("hits", "of"), [(8, 10), (0, 5), (5, 5), (1, 1), (617, 1000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_wilson_is_scipys(hits: int, of: int, level: float) -> None:
    expected = stats.binomtest(hits, of).proportion_ci(level, method="wilson")
    assert wilson(hits, of, level) == (hits / of, exact(expected.low), exact(expected.high))


def test_wilson_takes_half_hits() -> None:
    assert wilson(2, 5, 0.95).low < wilson(2.5, 5, 0.95).low < wilson(3, 5, 0.95).low


def test_pearson_of_a_line_and_of_its_mirror() -> None:
    assert pearson([0, 1, 2, 3], [5, 7, 9, 11]) == exact(1)
    assert pearson([0, 1, 2, 3], [11, 9, 7, 5]) == exact(-1)


def test_pearson_is_numpys() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 50))
    assert pearson(x, y) == exact(float(np.corrcoef(x, y)[0, 1]))


def test_constant_predictions_carry_no_information_and_are_not_an_error() -> None:
    assert pearson([0.5] * 4, [1, 2, 3, 4]) == 0
    assert average_precision([0.5] * 4, [True, False, False, False]) == 0.25


def test_a_constant_unit_has_nothing_to_predict() -> None:
    assert pearson([1, 2, 3], [0, 0, 0]) is None
    assert pearson([1, 2], [1, 2]) is None
    assert average_precision([1, 2, 3], [False] * 3) is None
    assert average_precision([1, 2, 3], [True] * 3) is None
    assert standardised_difference([1, 2], [3, 3, 3]) is None
    assert standardised_difference([3], [3, 3, 3]) == 0
    assert standardised_difference([1, 2], [3]) is None
    assert auc([], [1.0]) is None


@settings(max_examples=60, deadline=None)
@given(SCORES)
def test_average_precision_is_the_step_sum_and_scikit_learns(scores: list[tuple[int, bool]]) -> None:
    values, active = np.array([v / 5 for v, _ in scores]), np.array([a for _, a in scores])
    found = average_precision(values, active)
    if not active.any() or active.all():
        assert found is None
        return
    total = 0.0
    for threshold in sorted(set(values.tolist()), reverse=True):
        at_or_above = values >= threshold
        total += active[at_or_above].mean() * active[values == threshold].sum() / active.sum()
    assert found == exact(total)
    assert found == exact(average_precision_score(active, values))


def test_standardised_difference_is_in_sample_deviations_of_the_controls() -> None:
    assert standardised_difference([5, 7], [1, 3]) == exact((6 - 2) / math.sqrt(2))


def test_bootstrap_mean_is_the_percentile_of_resampled_means() -> None:
    values = np.random.default_rng(0).normal(3, 1, 50)
    found = bootstrap_mean(values.tolist(), 0.95, np.random.default_rng([7, 50]), 5000)
    drawn = values[np.random.default_rng([7, 50]).integers(50, size=(5000, 50))].mean(1)
    assert found == (exact(float(values.mean())), *map(exact, np.quantile(drawn, [0.025, 0.975])))
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(50), rel=0.25)
    assert bootstrap_mean([2.0, 2.0], 0.95, np.random.default_rng(0), 100) == (2.0, 2.0, 2.0)


def test_mean_interval_contains_the_mean_and_one_value_is_its_own_interval() -> None:
    found = mean_interval([1.0, 2.0, 3.0, 6.0], 0.95, 0)
    assert found.value == 3
    assert 1 <= found.low < 3 < found.high <= 6
    assert mean_interval([2.0], 0.95, 0) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 10])
def test_equal_differences_are_tested_by_their_signs(count: int) -> None:
    found = paired_difference([0.5] * count)
    assert found.p == pytest.approx(stats.binomtest(count, count).pvalue)
    assert found.mean == 0.5
    assert paired_difference([0.0] * count).p == 1.0
