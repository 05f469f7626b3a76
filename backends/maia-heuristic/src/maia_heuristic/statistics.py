"""Effect sizes and tests, small enough to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Contrast(NamedTuple):
    """How positives compare with controls.

    Attributes:
        positives: Number of positives.
        controls: Number of controls.
        mean: Mean of the positives.
        control_mean: Mean of the controls.
        d: Cohen's d, difference of the means over the pooled standard deviation; infinite where nothing varies.
        auc: Probability that a random positive is above a random control, ties half (the area under the ROC curve).
        low: Lower end of the 95 % bootstrap interval of `auc`.
        high: Upper end.
        p: One-sided p value of a permutation test on the difference of the means.
    """

    positives: int
    controls: int
    mean: float
    control_mean: float
    d: float
    auc: float
    low: float
    high: float
    p: float


def contrast(positives: Sequence[float], controls: Sequence[float], seed: int, draws: int = 2000) -> Contrast:
    """Compares positives with controls.

    Args:
        positives: At least one activation.
        controls: At least one activation.
        seed: Of the resampling.
        draws: Bootstrap samples and permutations.

    Raises:
        ValueError: one of them is empty.
    """
    a, b = np.asarray(positives, dtype=np.float64), np.asarray(controls, dtype=np.float64)
    if not a.size or not b.size:
        raise ValueError("a contrast needs positives and controls")
    rng = np.random.default_rng(seed)
    above = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    rows = rng.integers(a.size, size=(draws, a.size))
    columns = rng.integers(b.size, size=(draws, b.size))
    # Mean of `above` over resampled rows and columns, as a product of how often each was drawn.
    row_counts = np.apply_along_axis(np.bincount, 1, rows, minlength=a.size)
    column_counts = np.apply_along_axis(np.bincount, 1, columns, minlength=b.size)
    resampled = np.einsum("da,ab,db->d", row_counts, above, column_counts, optimize=True) / (a.size * b.size)
    low, high = np.quantile(resampled, [0.025, 0.975])

    both = np.concatenate([a, b])
    shuffled = rng.permuted(np.tile(both, (draws, 1)), axis=1)
    differences = shuffled[:, : a.size].mean(axis=1) - shuffled[:, a.size :].mean(axis=1)
    difference = a.mean() - b.mean()
    p = (1 + np.count_nonzero(differences >= difference - 1e-12)) / (draws + 1)

    return Contrast(
        a.size,
        b.size,
        float(a.mean()),
        float(b.mean()),
        cohens_d(a, b),
        float(above.mean()),
        float(low),
        float(high),
        float(p),
    )


def cohens_d(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Returns the difference of two means over their pooled standard deviation (Cohen 1988)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    freedom = max(1, a.size + b.size - 2)
    pooled = np.sqrt((a.var() * a.size + b.var() * b.size) / freedom)
    difference = float(a.mean() - b.mean())
    if pooled < 1e-12:
        return float(np.sign(difference) * np.inf) if abs(difference) > 1e-12 else 0.0
    return difference / float(pooled)


def significant(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Says which of many tests hold at a false discovery rate of `level` (Benjamini and Hochberg 1995)."""
    order = np.argsort(p_values)
    passed = [rank for rank, index in enumerate(order, 1) if p_values[index] <= level * rank / len(p_values)]
    accepted = set(order[: max(passed, default=0)].tolist())
    return [index in accepted for index in range(len(p_values))]
