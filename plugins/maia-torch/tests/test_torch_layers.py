"""Layers and units by name."""

from __future__ import annotations

import re

import pytest
from torch import nn

from maia_core.errors import UsageError
from maia_torch import Preprocessing, TorchModel


def test_layers_come_in_the_order_of_computation_with_their_shapes(model):
    assert [(layer.name, layer.shape) for layer in model.layers()] == [
        ("cells", (2, 8, 8)),
        ("act@1", (2, 8, 8)),
        ("mix", (5, 8, 8)),
        ("act@2", (5, 8, 8)),
        ("pool", (5,)),
        ("fc", (4,)),
        ("logit", (4,)),
        ("prob", (4,)),
    ]


def test_a_module_that_runs_twice_is_read_at_the_call_that_is_named(model, images):
    assert model.layer("act") == model.layer("act@2")
    first, mixed, last = (model.activations(images, name) for name in ("act@1", "mix", "act@2"))
    assert first.shape == (38, 2)
    assert (last == mixed.clip(min=0)).all()


def test_an_in_place_step_after_a_layer_does_not_reach_its_values(model, images):
    assert model.activations(images, "mix").min() < 0


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("cell:0", r"no layer 'cell' in net; nearest: cells.*layers: cells, act@1"),
        ("cells:2", r"unit 2 of layer cells does not exist: it has units 0 to 1"),
        ("cells:-1", r"units 0 to 1"),
        ("cells", r"which unit of layer cells\? Write cells:0 to cells:1"),
        ("cells:red", r"unit 'red' of layer cells is not a number"),
        ("prob:crane", r"several classes: crane \(1\), crane \(2\); write prob:1"),
        ("prob:fox", r"Classes with this word: red fox \(0\)"),
        ("prob:tigre", r"Did you mean 'Tiger'"),
        ("", r"no layer ''"),
        ("cells:9999999999999999999", "is not a number"),
    ],
)
def test_wrong_references_say_what_exists(model, ref, says):
    with pytest.raises(UsageError, match=says):
        model.unit(ref)


def test_classes_are_found_whatever_their_case_and_spaces(model):
    for ref in ("prob:red_fox", "prob:Red Fox", "prob:red-fox", "prob:0"):
        assert model.unit(ref).info.ref == "net:prob:red_fox"
    assert model.unit("logit:2").info.unit == "2", "a name that stands for two classes must not become a reference"


def test_every_reference_that_a_unit_shows_leads_back_to_it(model):
    for layer in model.layers():
        for unit in range(layer.units):
            shown = model.unit(f"{layer.name}:{unit}").info.ref
            assert model.unit(re.sub("^net:", "", shown)).index == unit


NAMES = [
    "7",
    "0",
    "-1",
    "cat",
    "Cat",
    "a:b",
    "a",
    "x=y",
    "sae=f:3",
    "direction=d",
    "and/or",
    "at@2",
    "hash#tag",
    "-",
    "",
]
NAMES += [
    " ",
    "two words",
    "under_score",
    "１２",
    "new\nline",
    "\x1b[31m",
    "café",
    "3.5",
    "1e3",
    "a:3",
    "logit",
    "*",
    "% d",
]


class Separators(nn.Module):
    """Modules whose names hold every separator of references, or are those of the network's own layers."""

    names = ("a:b", "a", "a:3", "x=y", "sae=f", "logit", "prob", "s/t", "at@1", "at", "k#1", "-", "d-e")

    def __init__(self) -> None:
        super().__init__()
        for name in self.names:
            self.add_module(name, nn.Conv2d(3, 3, 1))
        self.head = nn.Linear(3, len(NAMES))

    def forward(self, x):
        for name in (*self.names, "at"):  # "at" runs twice: at@1 is also a module
            x = self._modules[name](x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("turn", range(0, len(NAMES), 3))
def test_references_lead_back_whatever_layers_and_classes_are_called(turn):
    classes = NAMES[turn:] + NAMES[:turn]
    model = TorchModel(Separators(), Preprocessing(8), "m", classes=classes)
    for name in ("probe", "probe:3", "a=b", "sae=f:3", "1"):
        model.direction("a:b", [1, 0, 0], name)
    model.latents("a", nn.Linear(3, 4), "coder:1")
    names = [layer.name for layer in model.layers()]
    assert len(set(names)) == len(names) == len(Separators.names) + 4, "each layer has a name of its own"
    for layer in [*names, *model._derived]:
        assert model.layer(layer).name == layer
        for index in range(model.layer(layer).info.units):
            unit = model.unit(f"{layer}:{index}")
            again = model.unit(unit.info.ref.removeprefix("m:"))
            assert (again.layer, again.index) == (unit.layer, unit.index), unit.info.ref


def test_a_class_whose_name_is_a_number_is_called_by_its_number():
    """As `ImageFolder` sorts folders: "10" is the third."""
    module = nn.Sequential(nn.Conv2d(3, 12, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = TorchModel(module, Preprocessing(8), "m", classes=sorted(map(str, range(12))))
    assert [model.unit(f"logit:{index}").info.unit for index in range(12)] == list(map(str, range(12)))


def test_underscores_around_names_may_be_left_out_while_one_layer_is_meant():
    inner = nn.ModuleDict({"_conv": nn.Conv2d(3, 4, 3)})
    module = nn.Sequential(inner["_conv"], nn.Flatten())
    module.add_module("_last_", nn.Identity())
    assert TorchModel(module, Preprocessing(8), "m").unit("Last:3").info.layer == "_last_"


def test_a_module_that_cannot_take_the_images_is_refused_in_one_line():
    with pytest.raises(UsageError, match=r"cannot take images of shape \(3, 8, 8\)"):
        TorchModel(nn.Sequential(nn.Linear(5, 2)), Preprocessing(8), "m")


def test_wrong_number_of_class_names_is_refused(net, preprocess):
    with pytest.raises(UsageError, match="4 classes, but 2 names"):
        TorchModel(net, preprocess, "m", classes=["a", "b"])
