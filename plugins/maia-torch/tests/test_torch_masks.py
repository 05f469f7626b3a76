"""Masks lie where the person sees what the unit saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from maia_core.image import Image
from maia_exemplars.export import faded
from maia_exemplars.masks import active
from maia_torch import Preprocessing, TorchModel


@pytest.mark.parametrize(("width", "height"), [(300, 120), (120, 300), (200, 200)])
@pytest.mark.parametrize("resize", [None, 80])
def test_mask_covers_a_red_square_wherever_it_is(net, width, height, resize):
    preprocess = Preprocessing(64, resize, (0, 0, 0), (1, 1, 1))
    model = TorchModel(net, preprocess, "m", quantile=0.99)
    left, top, right, _ = preprocess.box(width, height)
    cell = (right - left) / 8
    for row, column in [(1, 1), (1, 6), (6, 2), (4, 4)]:
        x, y = (int(left + column * cell), int(top + row * cell))
        pixels = np.full((height, width, 3), (0, 0, 255), np.uint8)
        pixels[y : y + int(cell) + 1, x : x + int(cell) + 1] = (255, 0, 0)
        [activation], [masked] = model.unit("cells:0").neuron([Image.from_pixels(pixels)])
        rows, columns = np.nonzero(masked.mask())
        assert activation > 0.7
        assert (rows.mean(), columns.mean()) == pytest.approx((y + cell / 2, x + cell / 2), abs=cell * 0.25)
        assert 0.5 < masked.mask().sum() / cell**2 < 2.5


def test_what_the_crop_left_out_is_dark(net):
    model = TorchModel(net, Preprocessing(64, mean=(0, 0, 0), std=(1, 1, 1)), "m", quantile=0)
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, :, 0] = np.linspace(0, 255, 300).astype(np.uint8)
    _, [masked] = model.unit("cells:0").neuron([Image.from_pixels(pixels)])
    columns = np.nonzero(masked.mask().any(axis=0))[0]
    assert columns.min() >= 100
    assert columns.max() == 199


def test_upsampling_is_bilinear_as_in_torch():
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    upsampled = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], (40, 90), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    for threshold in (-0.5, 0.03, 1.1):
        differs = active(values, threshold, 90, 40, (0, 0, 90, 40)) != (upsampled > threshold)
        assert not differs[abs(upsampled - threshold) > 1e-5].any()


def test_a_map_of_one_row_can_be_upsampled():
    assert active(np.ones((1, 1), np.float32), 0.5, 3, 4, (0, 0, 3, 4)).all()


def test_a_unit_without_a_map_masks_nothing_and_says_so(model, images):
    unit = model.unit("prob:tiger")
    activations, shown = unit.neuron(images)
    assert shown == images
    assert not unit.info.has_map
    assert "probability between 0 and 1" in unit.info.note
    assert all(0 <= value <= 1 for value in activations)


def test_the_note_says_which_threshold_masks_use(model, net, preprocess):
    assert "0.99 quantile over the data set" in model.unit("cells:0").info.note
    assert "0.99 quantile of the image's own map" in TorchModel(net, preprocess, "m").unit("cells:0").info.note


@pytest.mark.parametrize(("rows", "columns", "side"), [(7, 7, 224), (14, 9, 224), (1, 1, 64), (30, 30, 100)])
def test_masks_for_milan_are_those_of_netdissect(rows, columns, side):
    """Netdissect upsamples with `grid_sample` and zeros as padding: maps fade in the outer half cell."""
    agree, own = [], []
    for seed in range(20):
        unit_map = np.random.default_rng(seed).gamma(0.5, size=(rows, columns)).astype(np.float32)
        threshold = float(np.quantile(unit_map, 0.7))
        y, x = (torch.arange(side) + 0.5 for _ in range(2))
        grid = torch.stack(torch.meshgrid(2 * y / side - 1, 2 * x / side - 1, indexing="ij")[::-1], dim=-1)[None]
        upsampled = functional.grid_sample(torch.from_numpy(unit_map)[None, None], grid, align_corners=False)
        theirs = (upsampled[0, 0] > threshold).numpy()
        for found, mask in (
            (agree, faded(unit_map, threshold, side, side)),
            (own, active(unit_map, threshold, side, side, (0, 0, side, side))),
        ):
            found.append((mask & theirs).sum() / max((mask | theirs).sum(), 1) if (mask | theirs).any() else 1.0)
    assert min(agree) > 0.999
    assert np.mean(own) <= np.mean(agree), "MAIA's own masks are brighter at the border"
