"""Sparse linear models of a unit's activation: which few concepts, added up with weights, predict it.

The procedure is that of Oikarinen and Weng, "Linear Explanations for Individual Neurons" (ICML 2024, section 4) and of
the authors' public code: an elastic net ranks the concepts, then a greedy search adds the one that raises the
correlation on images that were not fitted most, until none raises it by 0.02.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

PENALTY, L1 = 0.05, 0.99
"""Strength of the elastic net on standardised data, and the share of its l1 part."""

WIDTH = 10
"""Candidates that are tried at each step."""

FLAT = 1e-5
"""Standard deviation below which a concept says nothing."""


@dataclass(frozen=True)
class Model:
    """A linear model.

    Attributes:
        columns: Which concepts it adds up.
        weights: Their weights.
        bias: What is added to the sum.
    """

    columns: tuple[int, ...]
    weights: tuple[float, ...]
    bias: float

    def predict(self, scores: Floats) -> NDArray[np.float64]:
        """Returns the simulated activation of each image; `scores` has the shape (images, concepts)."""
        return np.asarray(scores[:, list(self.columns)] @ np.asarray(self.weights) + self.bias)


def correlation(a: Floats, b: Floats) -> float:
    """Returns Pearson's correlation; 0 where either does not vary."""
    a, b = (np.asarray(values, np.float64) - np.mean(values, dtype=np.float64) for values in (a, b))
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def rank(scores: Floats, activations: Floats) -> list[int]:
    """Ranks concepts by their weight in an elastic net, the highest first; those that never vary are left out.

    Args:
        scores: Shape (images, concepts).
        activations: Shape (images,).
    """
    from sklearn.linear_model import ElasticNet

    deviation = scores.std(0)
    varying = np.flatnonzero(deviation > FLAT)
    if not len(varying):
        return []
    inputs = (scores[:, varying] - scores[:, varying].mean(0)) / deviation[varying]
    target = (activations - activations.mean()) / max(float(activations.std()), 1e-12)
    net = ElasticNet(alpha=PENALTY, l1_ratio=L1, max_iter=2000, tol=1e-4)
    weights = net.fit(inputs.astype(np.float64), target.astype(np.float64)).coef_
    # Concepts that the penalty left out are ranked by how they correlate, after all that it kept.
    order = np.lexsort((-(inputs.T @ target), -weights))
    return [int(varying[i]) for i in order]


def fit(scores: Floats, activations: Floats, columns: Sequence[int]) -> Model:
    """Fits a model of given concepts by least squares."""
    chosen = np.asarray(scores[:, list(columns)], np.float64)
    inputs = np.concatenate([chosen, np.ones((len(chosen), 1))], axis=1)
    solution = np.linalg.lstsq(inputs, np.asarray(activations, np.float64), rcond=None)[0]
    return Model(tuple(columns), tuple(solution[:-1].tolist()), float(solution[-1]))


def search(scores: Floats, activations: Floats, longest: int, tolerance: float) -> Model | None:
    """Chooses concepts greedily, and fits their model on all images given.

    Each candidate is judged by the correlation of a model that was fitted on two thirds of the images with the rest,
    the mean over the three thirds.

    Args:
        scores: Shape (images, concepts).
        activations: Shape (images,).
        longest: Most concepts.
        tolerance: Least gain in correlation that a further concept must bring.

    Returns:
        The model; None where no concept varies.
    """
    candidates = rank(scores, activations)
    chosen: list[int] = []
    best = 0.0
    while candidates and len(chosen) < longest:
        gains = {c: _validated(scores, activations, [*chosen, c]) - best for c in candidates[:WIDTH]}
        winner = max(gains, key=lambda c: gains[c])
        if chosen and gains[winner] < tolerance:
            break
        hopeless = {c for c, gain in gains.items() if chosen and gain < tolerance}
        best += gains[winner]
        chosen.append(winner)
        candidates = [c for c in candidates if c != winner and c not in hopeless]
    return fit(scores, activations, chosen) if chosen else None


def _validated(scores: Floats, activations: Floats, columns: Sequence[int]) -> float:
    folds = np.arange(len(activations)) % 3
    return float(
        np.mean(
            [
                correlation(
                    fit(scores[folds != fold], activations[folds != fold], columns).predict(scores[folds == fold]),
                    activations[folds == fold],
                )
                for fold in range(3)
            ]
        )
    )
