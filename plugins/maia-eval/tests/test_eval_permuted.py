"""Memory test: under each unit's name another unit of its layer is measured."""

from __future__ import annotations

import numpy as np
import pytest

from maia_core.errors import UsageError
from maia_core.plugin import Context, PluginRef, Registry, RunConfig, UnitInfo
from maia_core.testing import fake_parts
from maia_core.types import LayerInfo
from maia_eval.permuted import PermutedUnit

UNITS = 9


class Numbered:
    """A unit whose activation is its number."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.info = UnitInfo(model="numbers", layer="deep", unit=str(index))

    def neuron(self, images):
        return [float(self.index)] * len(images), list(images)

    def exemplar_source(self, dataset):
        return f"the exemplars of {self.index}"


class Numbers:
    name, fingerprint = "numbers", "n1"

    def layers(self):
        return [LayerInfo(name="deep", units=UNITS), LayerInfo(name="single", units=1)]

    def unit(self, ref):
        layer, _, number = ref.partition(":")
        unit = Numbered(int(number))
        unit.info = unit.info.model_copy(update={"layer": layer})
        return unit


@pytest.fixture
def context(tmp_path):
    parts = fake_parts() | {"model/numbers/[]": Numbers()}
    return Context(RunConfig(), Registry([]), parts=parts, cache=tmp_path)


def permuted(context, ref, **options):
    return PermutedUnit(PermutedUnit.Config(ref=ref, **options), context)


def test_every_unit_measures_another_one_and_each_once(context):
    units = [permuted(context, f"numbers:deep:{n}") for n in range(UNITS)]
    measured = [int(unit.neuron([None])[0][0]) for unit in units]
    assert sorted(measured) == list(range(UNITS))
    assert not any(a == b for a, b in enumerate(measured))
    assert [unit.info.unit for unit in units] == [str(n) for n in range(UNITS)], "the name stays"
    assert [unit.exemplar_source(None) for unit in units] == [f"the exemplars of {n}" for n in measured]
    assert [unit.index for unit in units] == measured


def test_the_seed_decides_and_the_fingerprint_says_so(context):
    drawn = {seed: permuted(context, "numbers:deep:3", seed=seed) for seed in range(6)}
    assert len({unit.index for unit in drawn.values()}) > 1
    assert drawn[0].index == permuted(context, "numbers:deep:3").index
    assert len({unit.fingerprint for unit in drawn.values()}) == len({(s, u.index) for s, u in drawn.items()})


@pytest.mark.parametrize(
    ("ref", "says"),
    [("", "needs a unit"), ("numbers", "needs a unit"), ("numbers:single:0", "no other numbered units")],
)
def test_what_cannot_be_permuted_is_said_in_one_line(context, ref, says):
    with pytest.raises(UsageError, match=says):
        permuted(context, ref)


def test_a_real_layer_is_permuted(tmp_path):
    pytest.importorskip("maia_efficientnet")
    context = Context(RunConfig(system=PluginRef(name="permuted:efficientnet-lite0:head:303")))
    unit = context.system
    assert unit.info.ref == "efficientnet-lite0:head:303"
    assert unit.index != 303
    image = fake_parts()["dataset"][0]
    layer = context.model("efficientnet-lite0").activations([image], "head")
    assert np.isclose(unit.neuron([image])[0][0], layer[0, unit.index], rtol=1e-3)
