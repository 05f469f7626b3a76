"""Units that are like one unit: by the images that activate them, by their activations, by their labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maia_exemplars.layer import LayerIndex
from maia_view.units import UnitRow

Scored = list[tuple[int, float]]
"""Numbers of units with their score, the most similar first."""


def by_exemplars(index: LayerIndex, number: int, most: int) -> Scored:
    """Returns the units that share most exemplars with a unit, and the share of its exemplars that they share."""
    places = index.units["places"]
    own = places[number][places[number] >= 0]
    if not len(own):
        return []
    return _highest(np.isin(places, own).sum(1) / len(own), number, most)


def by_activation(index: LayerIndex, number: int, most: int) -> Scored:
    """Returns the units whose activations correlate best with a unit's over the sample of the data set."""
    if index.info.sampled < 3:
        return []
    sample = np.asarray(index.sample, np.float32)
    own = sample[number] - sample[number].mean()
    spread = np.linalg.norm(own)
    if not spread > 0:
        return []
    # As own has a mean of 0, so has its product with the others.
    products = sample @ (own / spread)
    spreads = sample.std(1) * np.sqrt(np.float32(sample.shape[1]))
    return _highest(np.divide(products, spreads, out=np.zeros_like(products), where=spreads > 0), number, most)


def by_label(
    rows: Sequence[UnitRow], vectors: NDArray[np.float32], place: int, most: int
) -> list[tuple[UnitRow, float]]:
    """Returns the units whose labels mean most nearly the same as a unit's.

    Args:
        rows: Units with a label.
        vectors: Their labels' embeddings of unit length, float32 of shape (units, dimensions).
        place: Place of the unit in `rows`.
        most: How many to return.
    """
    return [(rows[other], score) for other, score in _highest(vectors @ vectors[place], place, most)]


def _highest(scores: NDArray[np.floating], number: int, most: int) -> Scored:
    """Returns the highest positive scores, those of the unit itself left out."""
    order = np.argsort(-scores, kind="stable")[: most + 1].tolist()
    return [(other, float(scores[other])) for other in order if other != number and scores[other] > 0][:most]
