"""The statistics of MAIA: effect sizes, correlations and confidence intervals.

SciPy and scikit-learn load on the first call that needs them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 2000
"""Bootstrap samples of the `..._interval` functions: they place the ends of a 95 % interval within about half a
percentile."""


class Interval(NamedTuple):
    """A figure and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def auc(positives: ArrayLike, controls: ArrayLike) -> float | None:
    """Returns the area under the ROC curve: the probability that a positive exceeds a control, ties half.

    The formula is Mann and Whitney's U (1947) divided by the number of pairs.

    Returns:
        In [0, 1]; None where there is no positive or no control.
    """
    a, b = (np.asarray(values, np.float64)[:, None] for values in (positives, controls))
    return float(column_aucs(a, b)[0]) if a.size and b.size else None


def column_aucs(positives: NDArray[np.floating], controls: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the area under the ROC curve of every column.

    Args:
        positives: Shape (positives, columns), at least one row.
        controls: Shape (controls, columns), at least one row.

    Returns:
        float64 of shape (columns,), in [0, 1].
    """
    return _rank_aucs(_ranks(np.concatenate([positives, controls])), np.arange(len(positives)))


def best_auc_by_chance(values: NDArray[np.floating], count: int, permutations: int, seed: int) -> NDArray[np.float64]:
    """Returns the best column's AUC where `count` rows are chosen at random, for several random choices.

    This is the distribution of the maximum over all columns (Westfall and Young 1993), which corrects for their number.

    Args:
        values: Shape (rows, columns).
        count: Number of rows that count as positives.
        permutations: Number of random choices.
        seed: Random seed.

    Returns:
        float64 of shape (permutations,), in [0, 1].
    """
    rng, ranks = np.random.default_rng(seed), _ranks(values)
    return np.array([_rank_aucs(ranks, rng.permutation(len(ranks))[:count]).max() for _ in range(permutations)])


def auc_interval(positives: Sequence[float], controls: Sequence[float], level: float, seed: int) -> Interval:
    """Returns the area under the ROC curve with its percentile bootstrap interval (Efron 1979).

    Args:
        positives: One value per condition, at least one. Average the replicates of a prompt first: they are not
            independent evidence.
        controls: Likewise.
        level: Confidence of the interval, in (0, 1).
        seed: Random seed of the bootstrap.
    """
    a, b = np.asarray(positives, np.float64)[:, None], np.asarray(controls, np.float64)
    above = np.where(a > b, 1.0, np.where(a == b, 0.5, 0.0))
    rng = np.random.default_rng(seed)
    rows, columns = _resample_counts(rng, a.size), _resample_counts(rng, b.size)
    resampled = np.einsum("da,ab,db->d", rows, above, columns, optimize=True) / above.size
    return Interval(float(above.mean()), *_percentiles(resampled, level))


def mean_interval(values: Sequence[float], level: float, seed: int) -> Interval:
    """Returns a mean with its percentile bootstrap interval; with one value, both ends are that value.

    Args:
        values: At least one.
        level: Confidence of the interval, in (0, 1).
        seed: Random seed of the bootstrap.
    """
    array = np.asarray(values, np.float64)
    counts = _resample_counts(np.random.default_rng(seed), array.size)
    return Interval(float(array.mean()), *_percentiles(counts @ array / array.size, level))


def bootstrap_mean(values: Sequence[float], level: float, rng: np.random.Generator, draws: int) -> Interval:
    """Returns a mean with SciPy's percentile bootstrap interval.

    Args:
        values: At least two.
        level: Confidence of the interval, in (0, 1).
        rng: Draws the resamples.
        draws: Number of resamples.
    """
    from scipy import stats

    found = stats.bootstrap(
        (np.asarray(values, np.float64),),
        np.mean,
        n_resamples=draws,
        confidence_level=level,
        method="percentile",
        rng=rng,
    )
    low, high = found.confidence_interval
    return Interval(float(np.mean(values)), float(low), float(high))


class PairedDifference(NamedTuple):
    """The mean of paired differences.

    Attributes:
        mean: Mean difference.
        low: Lower end of its confidence interval.
        high: Upper end.
        p: Two-sided p-value of the paired t test.
    """

    mean: float
    low: float
    high: float
    p: float


def paired_difference(differences: Sequence[float], level: float = 0.95) -> PairedDifference:
    """Returns the mean of paired differences with Student's t interval and test.

    Args:
        differences: One per pair, at least one. Where all are equal, both ends are that value, and p is that of the
            sign test, 2 * 0.5^n, because Student's needs a spread; it is 1 for one pair.
        level: Confidence of the interval, in (0, 1).
    """
    from scipy import stats

    values = np.asarray(differences, np.float64)
    mean = float(values.mean())
    if _constant(values):
        return PairedDifference(mean, mean, mean, 2 * 0.5**values.size if abs(mean) > 1e-12 else 1.0)
    found = stats.ttest_1samp(values, 0.0)
    low, high = found.confidence_interval(level)
    return PairedDifference(mean, float(low), float(high), float(found.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for their number by the step-down method of Holm (1979), in the order given."""
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def wilson(hits: float, of: int, level: float) -> Interval:
    """Returns a share with its Wilson score interval (Wilson 1927).

    Args:
        hits: Number of successes; a tie may count as half of one, so this need not be whole.
        of: Number of trials, at least one.
        level: Confidence of the interval, in (0, 1).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, shrink = hits / of, 1 + z**2 / of
    centre = (share + z**2 / (2 * of)) / shrink
    margin = z * math.sqrt(share * (1 - share) / of + (z / (2 * of)) ** 2) / shrink
    return Interval(share, max(0.0, centre - margin), min(1.0, centre + margin))


def pearson(predicted: ArrayLike, measured: ArrayLike) -> float | None:
    """Returns Pearson's correlation of two sequences of the same length.

    Returns:
        In [-1, 1]. 0 for constant predictions, which carry no information. None for constant measurements or for fewer
        than three of them: there is nothing to predict.
    """
    x, y = (np.asarray(values, np.float64) for values in (predicted, measured))
    if x.size < 3 or _constant(y):
        return None
    if _constant(x):
        return 0.0
    from scipy import stats

    return float(stats.pearsonr(x, y).statistic)


def average_precision(predicted: ArrayLike, active: ArrayLike) -> float | None:
    """Returns the area under the precision-recall curve as average precision.

    Args:
        predicted: Finite scores; a higher one is more likely active.
        active: Whether each is active.

    Returns:
        In (0, 1]; the share of active ones for constant predictions. None where none or all are active.
    """
    hits = np.asarray(active, np.bool_)
    if not hits.any() or hits.all():
        return None
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(hits, np.asarray(predicted, np.float64)))


def pearson_interval(predicted: ArrayLike, measured: ArrayLike, level: float, seed: int) -> Interval | None:
    """Returns Pearson's correlation with its percentile bootstrap interval over pairs (Efron 1979), without SciPy.

    Args:
        predicted: One value per condition; the correlation is 0 where they are constant.
        measured: Likewise.
        level: Confidence of the interval, in (0, 1).
        seed: Random seed of the bootstrap.

    Returns:
        None for constant measurements, or fewer than three.
    """
    x, y = (np.asarray(values, np.float64) for values in (predicted, measured))
    if x.size < 3 or _constant(y):
        return None
    counts = _resample_counts(np.random.default_rng(seed), x.size)
    weights = np.concatenate([np.ones((1, x.size)), counts]) / x.size
    # Centred first, so that large values cost no precision.
    x, y = x - x.mean(), y - y.mean()
    covariance = weights @ (x * y) - (weights @ x) * (weights @ y)
    variances = (weights @ x**2 - (weights @ x) ** 2) * (weights @ y**2 - (weights @ y) ** 2)
    known = variances > 1e-12 * max(float(variances[0]), 1e-300)
    values = np.where(known, covariance / np.sqrt(np.where(known, variances, 1.0)), 0.0).clip(-1, 1)
    return Interval(0.0 if _constant(x) else float(values[0]), *_percentiles(values[1:], level))


def average_precision_interval(predicted: ArrayLike, active: ArrayLike, level: float, seed: int) -> Interval | None:
    """Returns the average precision with its percentile bootstrap interval over pairs (Efron 1979), without SciPy.

    Args:
        predicted: Finite scores; a higher one is more likely active.
        active: Whether each is active.
        level: Confidence of the interval, in (0, 1).
        seed: Random seed of the bootstrap.

    Returns:
        None where none or all are active.
    """
    scores, hits = np.asarray(predicted, np.float64), np.asarray(active, np.bool_)
    if not hits.any() or hits.all():
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    counts = _resample_counts(np.random.default_rng(seed), scores.size)
    weights = np.concatenate([np.ones((1, scores.size)), counts])[:, order]
    found = np.cumsum(weights * hits[order], axis=1)[:, ends]
    seen = np.cumsum(weights, axis=1)[:, ends]
    gained = np.diff(found, axis=1, prepend=0.0)
    values = (gained * found / np.maximum(seen, 1.0)).sum(axis=1) / np.maximum(found[:, -1], 1.0)
    resampled = values[1:][found[1:, -1] > 0]
    return Interval(float(values[0]), *_percentiles(resampled, level))


def standardised_difference(positives: ArrayLike, controls: ArrayLike) -> float | None:
    """Returns the mean of the positives less that of the controls, in standard deviations of the controls.

    CoSy calls this figure MAD (Kopf et al., "CoSy: Evaluating Textual Explanations of Neurons", NeurIPS 2024). As in
    the authors' code the standard deviation is that of a sample (ddof=1).

    Returns:
        0 where the controls are constant and both means are equal. None where there are no positives, fewer than two
        controls, or constant controls and another mean.
    """
    a, b = (np.asarray(values, np.float64) for values in (positives, controls))
    if not a.size or b.size < 2:
        return None
    if _constant(b):
        return 0.0 if math.isclose(a.mean(), b.mean(), rel_tol=1e-9, abs_tol=1e-12) else None
    return float((a.mean() - b.mean()) / b.std(ddof=1))


def against_bar(effect: Interval, required: float, percent: bool) -> tuple[str, str, str, str]:
    """Returns value, ends and bar as text, with digits enough that a difference from the bar shows.

    Args:
        effect: A figure with its interval.
        required: The bar.
        percent: Whether the figures are shares, written in percent.
    """
    values = (*effect, required)
    for digits in range(0 if percent else 2, 8):
        value, low, high, bar = (f"{v:.{digits}%}" if percent else f"{v:.{digits}f}" for v in values)
        if all(text != bar or v == required for text, v in ((value, effect.value), (high, effect.high))):
            break
    return value, low, high, bar


def _constant(values: NDArray[np.float64]) -> bool:
    spread = float(np.ptp(values))
    return not math.isfinite(spread) or spread <= 1e-12 * max(1.0, float(np.abs(values).max()))


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    from scipy import stats

    return np.asarray(stats.rankdata(values, axis=0), np.float64)


def _rank_aucs(ranks: NDArray[np.float64], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    count, rest = len(chosen), len(ranks) - len(chosen)
    return np.asarray((ranks[chosen].sum(axis=0) - count * (count + 1) / 2) / (count * rest))


def _resample_counts(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Returns how often each of `size` values is drawn in each of `DRAWS` resamples: shape (DRAWS, size)."""
    return rng.multinomial(size, np.full(size, 1 / size), DRAWS)


def _percentiles(resampled: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
