"""Modules whose parts torch hides: quantised, scripted, exported, without weights in memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from maia_core.errors import UsageError
from maia_core.image import Image
from maia_torch import Preprocessing, TorchModel

SIZE = Preprocessing(32)

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning:torch"
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3)
        self.twice = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.twice(self.twice(self.conv(x).relu()))
        return self.head(torch.cat([x, x[:, :0]], 1).mean((2, 3)).view(x.size(0), -1))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Net()

    def forward(self, x):
        if bool(x.sum() > -1e9):
            x = self.inner(x)
        return x


@pytest.fixture
def images():
    return [Image.from_pixels(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(3)]


@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.zeros(2, 3, 32, 32))])
def test_torchscript_has_the_layers_and_values_of_its_module(images, make):
    plain, script = TorchModel(Net(), SIZE, "net"), TorchModel(make(Net().eval()), SIZE, "net")
    assert [layer.name for layer in script.layers()] == [layer.name for layer in plain.layers()]
    for layer in plain.layers():
        expected = plain.activations(images, layer.name)
        np.testing.assert_allclose(script.activations(images, layer.name), expected, atol=1e-5)


def test_torchscript_modules_that_compute_other_things_are_other_models():
    class Scaled(Net):
        def __init__(self, gain) -> None:
            super().__init__()
            self.gain = gain

        def forward(self, x):
            return super().forward(x) * self.gain

    x = torch.zeros(2, 3, 32, 32)
    prints = [TorchModel(torch.jit.trace(Scaled(gain).eval(), x), SIZE, "net").fingerprint for gain in (1.0, 1.0, -5.0)]
    assert prints[0] == prints[1] != prints[2]


def test_a_part_that_branches_is_read_as_a_whole_and_named():
    with pytest.warns(
        UserWarning, match="net: the insides of the network cannot be read, because TorchScript branches"
    ):
        model = TorchModel(torch.jit.script(Branching().eval()), SIZE, "net")
    assert [layer.name for layer in model.layers()] == ["logit", "prob"]


def test_values_of_a_quantised_layer_are_the_floats_that_they_stand_for(images):
    from torch.ao.quantization import DeQuantStub, QuantStub, convert, get_default_qconfig, prepare

    net = nn.Sequential(QuantStub(), nn.Conv2d(3, 8, 3), DeQuantStub()).eval()
    net.qconfig = get_default_qconfig("fbgemm")
    prepared = prepare(net)
    prepared(torch.randn(4, 3, 32, 32))
    model, plain = TorchModel(convert(prepared), SIZE, "net"), TorchModel(net, SIZE, "net")
    expected = plain.activations(images, "1")
    assert np.abs(model.activations(images, "1") - expected).max() < 0.2 * np.abs(expected).max()


@dataclass
class Both:
    maps: torch.Tensor
    index: torch.Tensor


class Outputs(nn.Module):
    """Outputs without units: truth values, indices, complex numbers; and a dataclass that holds a map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.truth, self.whole, self.wave, self.both = (Says(kind) for kind in ("truth", "whole", "wave", "both"))

    def forward(self, x):
        x = self.conv(x)
        self.truth(x), self.whole(x), self.wave(x)
        return self.both(x).maps.mean((2, 3))


class Says(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x):
        made = {"truth": x > 0, "whole": x.argmax(1), "wave": torch.fft.fft2(x), "both": Both(x * 2, x.argmax(1))}
        return made[self.kind]


def test_outputs_without_units_are_named_and_dataclasses_are_read(images):
    with pytest.warns(UserWarning, match=r"no units .* truth \(torch.bool\), whole \(torch.int64\), wave \(torch.comp"):
        model = TorchModel(Outputs(), SIZE, "net")
    assert [layer.name for layer in model.layers()] == ["conv", "both", "logit", "prob"]
    np.testing.assert_allclose(model.activations(images, "both"), 2 * model.activations(images, "conv"), rtol=1e-5)


def offloaded() -> nn.Module:
    net = Net().to("meta")
    net.hf_device_map = {"": "disk"}
    return net


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: torch.export.export(Net().eval(), (torch.zeros(2, 3, 32, 32),)).module(), "is an exported program"),
        (
            lambda: torch.export.export(Net().eval(), (torch.zeros(2, 3, 32, 32),)),
            "is a ExportedProgram, not a torch.nn",
        ),
        (lambda: Net().to("meta"), "net has weights without values, such as conv.weight"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "net has weights without values, such as 1.weight"),
        (offloaded, r"net keeps weights out of memory \(conv.weight\); load it without device_map"),
    ],
)
def test_a_module_that_cannot_be_read_is_refused_in_one_line(make, says):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = make()
    with pytest.raises(UsageError, match=says):
        TorchModel(module, SIZE, "net")
