"""Tensors are counted as arrays are, and in half precision as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maia_exemplars.counting import ArrayCounter
from maia_exemplars.histogram import RELATIVE, Histograms, scales
from maia_torch.measuring import TensorCounter


@pytest.mark.parametrize("positions", [None, np.random.default_rng(0).integers(0, 20, (7, 6))])
def test_tensors_are_counted_as_arrays_are(positions):
    """The second batch is a thousand times as large, so that bins are joined in between."""
    arrays, tensors = (
        ArrayCounter(Histograms.empty(scales(3))),
        TensorCounter(Histograms.empty(scales(3)), torch.device("cpu")),
    )
    drawn = np.random.default_rng(1)
    for scale in (1, 1000, 1e-3):
        values = (drawn.normal(size=(7, 3, 4, 5)) * scale).astype(np.float32)
        values[drawn.random(values.shape) < 0.3] = 0
        highest = values.max(axis=(0, 2, 3))
        arrays.add(values, positions, highest)
        tensors.add(torch.from_numpy(values), positions, highest)
    ours, theirs = arrays.fetch(), tensors.fetch()
    np.testing.assert_array_equal(ours.counts, theirs.counts)
    np.testing.assert_array_equal(ours.tops, theirs.tops)
    np.testing.assert_array_equal(ours.high, theirs.high)
    assert ours.counts.sum() == 3 * 3 * 7 * (20 if positions is None else 6)


def test_half_precision_is_counted_as_it_is():
    values = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    counter = TensorCounter(Histograms.empty(scales(2)), torch.device("cpu"))
    counter.add(values, None, values.float().amax(0).numpy())
    ranked = values.float().sort(dim=0).values[449].numpy()
    np.testing.assert_allclose(counter.fetch().quantile(0.9), ranked, rtol=RELATIVE)
