"""The intervals of correlation and average precision agree with SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from maia_stats import average_precision_interval, pearson_interval


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = np.round(rng.normal(size=60), 1)  # with ties
    return x, x + rng.normal(size=60)


def test_figures_are_those_of_the_libraries(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pairs
    correlation, precision = pearson_interval(x, y, 0.95, 0), average_precision_interval(x, y > 1, 0.95, 0)
    assert correlation is not None
    assert precision is not None
    assert correlation.value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert precision.value == pytest.approx(average_precision_score(y > 1, x))
    expected = stats.bootstrap((x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False,
                               method="percentile", n_resamples=2000, rng=np.random.default_rng(2))  # fmt: skip
    assert correlation.low == pytest.approx(expected.confidence_interval.low, abs=0.03)
    assert correlation.high == pytest.approx(expected.confidence_interval.high, abs=0.03)
    assert precision.low < precision.value < precision.high


def test_nothing_to_predict_and_nothing_predicted() -> None:
    assert pearson_interval([1, 2, 3], [5, 5, 5], 0.95, 0) is None
    assert pearson_interval([1, 2], [1, 2], 0.95, 0) is None
    constant = pearson_interval([1, 1, 1, 1], [1, 2, 3, 4], 0.95, 0)
    assert constant is not None
    assert constant == (0, 0, 0)
    assert average_precision_interval([1, 2], [True, True], 0.95, 0) is None
    shares = average_precision_interval([1, 1, 1, 1], [True, False, False, False], 0.95, 0)
    assert shares is not None
    assert shares.value == pytest.approx(0.25)
