"""A network of torchvision and some of its units keep the promises of their kinds."""

from __future__ import annotations

import pytest

from maia_core.testing import DistributionSuite, ModelSuite, SystemSuite
from maia_torch import TorchUnit
from maia_torchvision import TorchvisionModel


class TestMaps(ModelSuite):
    layer, unit, column = "layer3", "12", 12

    @pytest.fixture
    def model(self, resnet18: TorchvisionModel) -> TorchvisionModel:
        return resnet18


class TestProbabilities(ModelSuite):
    layer, unit, column = "prob", "tiger", 292

    @pytest.fixture
    def model(self, resnet18: TorchvisionModel) -> TorchvisionModel:
        return resnet18


class TestUnitWithMap(SystemSuite):
    @pytest.fixture
    def system(self, resnet18: TorchvisionModel) -> TorchUnit:
        return resnet18.unit("layer2:7")


class TestClassAtEachPlace(SystemSuite):
    @pytest.fixture
    def system(self, lraspp: TorchvisionModel) -> TorchUnit:
        return lraspp.unit("logit:cat")


class TestDistribution(DistributionSuite):
    distribution = "maia-torchvision"
    light = frozenset({"maia_torch", "maia_exemplars"})
