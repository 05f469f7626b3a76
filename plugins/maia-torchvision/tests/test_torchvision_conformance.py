"""A network of torchvision and some of its units keep the promises of their kinds."""

from __future__ import annotations

import pytest

from maia_core.testing import DistributionSuite
from maia_torch.testing import ZooSuite
from maia_torchvision import TorchvisionModel


class TestMaps(ZooSuite):
    layer, unit, column = "layer3", "12", 12

    @pytest.fixture
    def model(self, resnet18: TorchvisionModel) -> TorchvisionModel:
        return resnet18


class TestEarlyMaps(TestMaps):
    layer, unit, column = "layer2", "7", 7


class TestProbabilities(TestMaps):
    layer, unit, column = "prob", "tiger", 292


class TestClassAtEachPlace(ZooSuite):
    layer, unit, column = "logit", "cat", 8

    @pytest.fixture
    def model(self, lraspp: TorchvisionModel) -> TorchvisionModel:
        return lraspp


class TestDistribution(DistributionSuite):
    distribution = "maia-torchvision"
