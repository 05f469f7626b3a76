"""A folded copy of a network has its values, and fewer operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maia_core.plugin import Image
from maia_torch import Preprocessing, TorchModel


class Net(nn.Module):
    """Two convolutions with norms, one of which runs twice, and one whose output is used twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.second, self.twice = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 4, 1)
        for norm in (self.norm, self.twice):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        x = self.twice(self.second(x)) + self.twice(x)
        return self.last(x)


@pytest.fixture
def model() -> TorchModel:
    return TorchModel(Net(), Preprocessing(16), name="net", device="cpu")


def images(count: int = 20) -> list[Image]:
    rng = np.random.default_rng(0)
    return [Image.from_pixels(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("layer", ["last", "norm", "first", "second"])
def test_a_folded_copy_has_the_same_values(model: TorchModel, layer: str) -> None:
    exact = model.activations(images(), layer)
    assert model.folded_activations(images(), layer) == pytest.approx(exact, abs=1e-4 * float(np.abs(exact).max()))
    assert model.activations(images(), layer) == pytest.approx(exact, abs=0), "the network itself stays as it is"
    fast = model.folded_activations(images(), layer, fast=True)
    assert np.corrcoef(fast.ravel(), exact.ravel())[0, 1] > 0.99


def test_only_norms_that_follow_a_convolution_and_run_once_are_folded(model: TorchModel) -> None:
    model.folded_activations(images(2), "last")
    lean = model._folded["last", False].module
    assert isinstance(lean.norm, nn.Identity)
    assert isinstance(lean.twice, nn.BatchNorm2d)
    model.folded_activations(images(2), "norm")
    assert isinstance(model._folded["norm", False].module.norm, nn.BatchNorm2d), "a layer that is read is not folded"
