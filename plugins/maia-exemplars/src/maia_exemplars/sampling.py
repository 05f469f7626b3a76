"""Which images and positions are counted where all are too many: fixed by the data set, not by the run."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SAMPLE = 2048
"""Images of the uniform sample: the same for all units of all layers."""

TARGET_VALUES = 2**18
"""Values of each unit's map that are counted, within the bounds of the next two."""

MIN_POSITIONS, MAX_POSITIONS = 16, 128
"""Positions of each image that are counted at least (if its map has that many), and at most."""

COUNT_ALL = 2**25
"""Values of all units together, of all images, up to which all are counted: that takes about a second."""


def sample_images(dataset: str, images: int, size: int = SAMPLE) -> NDArray[np.int64]:
    """Returns the places of a uniform sample without replacement, ascending.

    It depends on nothing else, so the shards of an index and the layers of a model have the same sample.

    Args:
        dataset: The data set's fingerprint.
        images: How many images it has.
        size: How many to choose; all if there are no more.
    """
    if images <= size:
        return np.arange(images)
    seed = np.uint64(int.from_bytes(dataset.encode()[-8:].rjust(8, b"\0"), "big"))
    drawn = _mixed(np.arange(images, dtype=np.uint64) ^ _mixed(np.array([seed])))
    return np.sort(np.argpartition(drawn, size)[:size]).astype(np.int64)


def positions_counted(images: int, positions: int, units: int) -> int:
    """Returns how many positions of each image's map are counted: all, or as many as `rank_error` is stated for."""
    if images * positions * units <= COUNT_ALL:
        return positions
    return min(positions, max(MIN_POSITIONS, min(MAX_POSITIONS, TARGET_VALUES // max(images, 1))))


def rank_error(count: int, positions: int, looked: int, quantile: float, risk: float = 1e-6) -> float:
    """Bounds how far the rank of a quantile of the counted values is from its rank among all values.

    Zero where all positions are counted. Else one position is drawn from each of `looked` equal strata of each map,
    independently, and Bernstein's inequality for independent bounded variables holds (S. Boucheron, G. Lugosi,
    P. Massart, Concentration Inequalities, theorem 2.10): with probability 1 - risk, for any one unit, the estimate is
    the quantile of rank q +- e with e as returned, whatever the maps are.

    Args:
        count: Images measured.
        positions: Positions of a map.
        looked: Positions of each image that were counted.
        quantile: Rank q of the quantile, in [0, 1].
        risk: Probability that the bound does not hold.
    """
    if looked >= positions or not count:
        return 0.0
    n, log = count * looked, math.log(2 / risk)
    error = 0.0
    for _ in range(8):  # the variance that counts is that at the ranks q - e and q + e, which depend on e
        nearest_half = min(max(0.5, quantile - error), quantile + error)
        error = math.sqrt(2 * nearest_half * (1 - nearest_half) * log / n) + log / (3 * n)
    return min(error, 1.0)


def drawn_positions(places: NDArray[np.int64], positions: int, looked: int) -> NDArray[np.int64]:
    """Draws positions of each image's flattened map: the same ones whenever, and in whatever batch, it is measured.

    Returns:
        int64 of shape (images, looked), ascending in each row; one from each stratum, so that each position is as
        likely as any other.
    """
    stratum = np.arange(looked, dtype=np.uint64)
    bits = _mixed((places.astype(np.uint64)[:, None] << np.uint64(20)) ^ stratum)
    inside = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    drawn: NDArray[np.int64] = ((stratum + inside) * (positions / looked)).astype(np.int64)
    return np.minimum(drawn, positions - 1)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Turns counters into bits that look random: the finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood, 2014)."""
    with np.errstate(over="ignore"):
        mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashes: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return hashes
