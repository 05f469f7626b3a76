"""What is computed a faster way equals the slow way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from maia_nearest import background
from maia_nearest.colours import lab
from maia_nearest.saliency import filled


@pytest.mark.parametrize("seed", range(8))
def test_holes_are_filled_as_by_scipy(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(60, 47)), 1 + seed % 3)
    for mask in (noise > 0, noise > 0.02, noise < 0.03, np.zeros((9, 9), np.bool_), np.ones((9, 9), np.bool_)):
        assert (filled(mask) == ndimage.binary_fill_holes(mask)).all()


def test_the_strength_of_detail_is_that_of_gaussian_filters() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    mask = rng.random((128, 128)) < 0.5
    lightness = lab(pixels)[..., 0]
    slopes = [
        np.abs(ndimage.gaussian_filter(lightness, scale, order=order))[mask].mean() * scale
        for scale in background.SCALES
        for order in ((0, 1), (1, 0))
    ]
    assert background.descriptor(pixels, mask)[-10:] == pytest.approx(np.log1p(slopes) * 0.5, rel=1e-5)
