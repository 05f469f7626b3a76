from __future__ import annotations

import numpy as np
import pytest

from maia_synthetic.dilation import dilate, proportional

ELLIPSE = np.array([[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], np.bool_)
"""The 5x5 ellipse of the paper's code."""


@pytest.mark.parametrize("times", [0, 1, 9])
@pytest.mark.parametrize("seed", range(6))
def test_is_repeated_dilation_by_the_ellipse(times: int, seed: int) -> None:
    morphology = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(seed)
    mask = np.zeros((rng.integers(1, 60), rng.integers(1, 60)), np.bool_)
    for _ in range(seed):
        mask[rng.integers(mask.shape[0]), rng.integers(mask.shape[1])] = True
    expected = morphology.binary_dilation(mask, ELLIPSE, iterations=times) if times else mask
    assert np.array_equal(dilate(mask, times), expected)


def test_nine_times_grow_by_eighteen_pixels_and_the_given_mask_is_left_alone() -> None:
    mask = np.zeros((101, 101), np.bool_)
    mask[50, 50] = True
    grown = dilate(mask, 9)
    rows, columns = np.nonzero(grown)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (32, 68, 32, 68)
    assert mask.sum() == 1


def test_dilation_is_in_proportion_to_the_image() -> None:
    assert [proportional(9, side) for side in (224, 448, 256, 32)] == [9, 18, 10, 1]
    assert proportional(0, 448) == 0
