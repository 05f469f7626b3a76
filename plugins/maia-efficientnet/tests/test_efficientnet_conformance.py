"""EfficientNet-Lite0 and some of its units keep the promises of their kinds."""

from __future__ import annotations

import pytest

from maia_core.testing import DistributionSuite
from maia_efficientnet import EfficientNetLite0
from maia_torch.testing import ZooSuite


class TestHead(ZooSuite):
    layer, unit, column = "head", "122", 122

    @pytest.fixture
    def model(self, lite0: EfficientNetLite0) -> EfficientNetLite0:
        return lite0


class TestBlock(TestHead):
    layer, unit, column = "blocks.10", "7", 7


class TestProbabilities(TestHead):
    layer, unit, column = "prob", "tiger", 292


class TestDistribution(DistributionSuite):
    distribution = "maia-efficientnet"
