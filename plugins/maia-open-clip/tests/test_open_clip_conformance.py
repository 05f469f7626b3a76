"""An encoder of open_clip and some of its units keep the promises of their kinds."""

from __future__ import annotations

import pytest

from maia_core.testing import DistributionSuite
from maia_open_clip import OpenClipModel
from maia_torch.testing import ZooSuite


class TestMaps(ZooSuite):
    layer, unit, column = "layer2", "12", 12

    @pytest.fixture
    def model(self, rn50: OpenClipModel) -> OpenClipModel:
        return rn50


class TestLateMaps(TestMaps):
    layer, unit, column = "layer3", "7", 7


class TestEmbedding(TestMaps):
    layer, unit, column = "output", "1000", 1000


class TestDistribution(DistributionSuite):
    distribution = "maia-open-clip"
