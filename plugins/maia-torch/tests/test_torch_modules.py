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


class Scaled(nn.Module):
    """A network whose values rest on more than its weights."""

    def __init__(self, buffer=1.0, scale=1.0, extra=1.0, plain=1.0, order=(0, 1)):
        super().__init__()
        torch.manual_seed(0)
        self.parts = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)])
        self.register_buffer("factor", torch.tensor(buffer), persistent=False)
        self.scale, self.extra, self.plain, self.order = scale, extra, torch.tensor([plain]), order

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state

    def forward(self, x):
        for number in self.order:
            x = self.parts[number](x)
        return x * self.factor * self.scale * self.extra * self.plain


def doubled(factor):
    return lambda module, inputs, output: output * factor


def test_a_fingerprint_holds_all_that_decides_a_networks_values():
    """Buffers that are not saved, extra state, plain attributes and hooks: a cache of the other network is not used."""
    changes = {"buffer": 2.0}, {"scale": 2.0}, {"extra": 2.0}, {"plain": 2.0}, {"order": (1, 0)}
    networks = [Scaled(), *(Scaled(**change) for change in changes)]
    for factor in (2, 3):
        networks.append(Scaled())
        networks[-1].parts[0].register_forward_hook(doubled(factor))
    networks.append(Scaled())
    networks[-1].register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    prints = [TorchModel(network, Preprocessing(size=8), name="m").fingerprint for network in networks]
    assert len(set(prints)) == len(networks)
    assert TorchModel(Scaled(), Preprocessing(size=8), name="m").fingerprint == prints[0]


class Squeezed(nn.Module):
    """Its output has no axis of the images where there is one image: `squeeze()` drops it."""

    def __init__(self, axis):
        super().__init__()
        self.conv, self.axis = nn.Conv2d(3, 4, 3), axis

    def forward(self, x):
        return self.conv(x).squeeze(0) if self.axis == 0 else self.conv(x).mean((2, 3)).squeeze()


@pytest.mark.parametrize("axis", [0, None])
def test_a_network_that_squeezes_a_single_image_is_measured_in_pairs(axis):
    model = TorchModel(Squeezed(axis), Preprocessing(size=8), name="m")
    images = [Image.from_pixels(np.full((8, 8, 3), level, np.uint8)) for level in (0, 128, 255)]
    layer = model.layers()[-1].name
    alone = np.concatenate([model.activations([image], layer) for image in images])
    assert alone.shape == (3, 4)
    np.testing.assert_allclose(alone, model.activations(images, layer), rtol=1e-4)


def test_a_single_image_is_measured_alone_where_it_can_be():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    model = TorchModel(network, Preprocessing(size=8), name="m")
    sizes = []
    network.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    model.activations([Image.from_pixels(np.zeros((8, 8, 3), np.uint8))], "output")
    assert sizes == [1]


@dataclass(slots=True)
class Slotted:
    """An output without a `__dict__`."""

    features: torch.Tensor


class Returning(nn.Module):
    """Returns something that a function makes of its features."""

    def __init__(self, make):
        super().__init__()
        self.conv, self.make = nn.Conv2d(3, 4, 3), make

    def forward(self, x):
        return self.make(self.conv(x))


def test_outputs_are_read_or_named():
    model = TorchModel(Returning(Slotted), Preprocessing(size=8), name="m")
    assert [layer.name for layer in model.layers()] == ["conv", "output"]
    with pytest.warns(UserWarning, match=r"no units in the output of the network, of shape \(\)"):
        TorchModel(Returning(torch.mean), Preprocessing(size=8), name="m")
    with pytest.warns(UserWarning, match="not finite"):
        TorchModel(Returning(lambda x: x * torch.nan), Preprocessing(size=8), name="m")


@pytest.mark.parametrize(
    "names", [("a:0", "a"), ("a\nb", "a b"), ("\u202ea", "a"), ("a\x1b[31m", "a:"), ("\ud83d", "?")]
)
def test_layers_with_any_name_have_references_that_lead_back(names):
    network = nn.Sequential()
    for name in names:
        network._modules[name] = nn.Conv2d(3, 3, 1)
    model = TorchModel(network, Preprocessing(size=8), name="m")
    for info in model.layers():
        for number in range(info.units):
            unit = model.unit(f"{info.name}:{number}")
            again = model.unit(unit.info.ref.partition(":")[2])
            assert unit.info.ref.isprintable()
            assert (again.layer.name, again.index) == (info.name, number)
        assert model.layer(info.name).name == info.name


def test_a_name_that_fits_no_reference_is_not_one():
    with pytest.raises(UsageError, match="printable"):
        TorchModel(nn.Conv2d(3, 2, 1), Preprocessing(size=8), name="a\nb")
    classes = ["x" * 3000, "dog"]
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    model = TorchModel(network, Preprocessing(size=8), name="m", classes=classes)
    assert [model.unit(f"logit:{number}").info.ref for number in range(2)] == ["m:logit:0", "m:logit:dog"]
