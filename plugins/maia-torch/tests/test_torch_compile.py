"""Compiled networks: their layers are read, and what is not read stays compiled."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from maia_core.image import Image
from maia_torch import Preprocessing, TorchModel


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.conv(x))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(Block(), Block()), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture
def images():
    noise = np.random.default_rng(0)
    return [Image.from_pixels(noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(20)]


@pytest.fixture
def simple_compiler(monkeypatch):
    """A simple back end, which needs no C++ compiler."""
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *a, **k: original(*a, **{**k, "backend": "eager"}))


@pytest.mark.parametrize("how", ["option", "whole", "block", "in place"])
def test_every_layer_of_a_compiled_network_is_read(images, simple_compiler, how):
    expected = TorchModel(network(), Preprocessing(16), "m")
    module = network()
    if how == "whole":
        module = torch.compile(module)
        module(torch.zeros(1, 3, 16, 16))
    elif how == "block":
        module[1][0] = torch.compile(module[1][0])
    elif how == "in place":
        module.compile()
        module(torch.zeros(1, 3, 16, 16))
    model = TorchModel(module, Preprocessing(16), "m", compiled=how == "option")
    for layer in ("0", "1.1.conv", "1.1", "1", "logit"):
        np.testing.assert_allclose(model.activations(images, layer), expected.activations(images, layer), atol=1e-5)
    if how != "block":
        assert model.layers() == expected.layers()
        np.testing.assert_allclose(
            model.activations(images, "1.0.act"), expected.activations(images, "1.0.act"), atol=1e-5
        )
    if how == "option":
        assert all(block._compiled_call_impl is not None for block in module[1])


def test_blocks_before_the_layer_run_compiled(images, simple_compiler, monkeypatch):
    model = TorchModel(network(), Preprocessing(16), "m", compiled=True)
    ran = []
    for number, block in enumerate(model.engine._module[1]):
        compiled = block._compiled_call_impl
        block._compiled_call_impl = lambda *a, n=number, c=compiled: ran.append(n) or c(*a)
    model.activations(images[:1], "1.1.conv")
    assert ran == [0]
    ran.clear()
    model.activations(images[:1], "1")
    assert ran == [0, 1]


@pytest.mark.slow
def test_a_network_that_nobody_compiled_loads_no_compiler():
    """`torch._dynamo` and what it imports took longer than torch itself at every start."""
    code = (
        "import sys; import numpy as np; from torch import nn; from maia_core.image import Image\n"
        "from maia_torch import Preprocessing, TorchModel\n"
        "model = TorchModel(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), Preprocessing(16), 'm')\n"
        "model.activations([Image.from_pixels(np.zeros((16, 16, 3), np.uint8))], '0')\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
