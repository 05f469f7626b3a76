"""EfficientNet-Lite0 and some of its units keep the promises of their kinds."""

from __future__ import annotations

import pytest

from maia_core.testing import DistributionSuite, ModelSuite, SystemSuite
from maia_efficientnet import EfficientNetLite0
from maia_torch import TorchUnit


class TestHead(ModelSuite):
    layer, unit, column = "head", "122", 122

    @pytest.fixture
    def model(self, lite0: EfficientNetLite0) -> EfficientNetLite0:
        return lite0


class TestProbabilities(ModelSuite):
    layer, unit, column = "prob", "tiger", 292

    @pytest.fixture
    def model(self, lite0: EfficientNetLite0) -> EfficientNetLite0:
        return lite0


class TestUnitWithMap(SystemSuite):
    @pytest.fixture
    def system(self, lite0: EfficientNetLite0) -> TorchUnit:
        return lite0.unit("blocks.10:7")


class TestUnitWithoutMap(SystemSuite):
    @pytest.fixture
    def system(self, lite0: EfficientNetLite0) -> TorchUnit:
        return lite0.unit("prob:tiger")


class TestDistribution(DistributionSuite):
    distribution = "maia-efficientnet"
    light = frozenset({"maia_torch", "maia_exemplars"})
