"""An encoder of open_clip and some of its units keep the promises of their kinds."""

from __future__ import annotations

import pytest

from maia_core.testing import DistributionSuite, ModelSuite, SystemSuite
from maia_open_clip import OpenClipModel
from maia_torch import TorchUnit


class TestMaps(ModelSuite):
    layer, unit, column = "layer2", "12", 12

    @pytest.fixture
    def model(self, rn50: OpenClipModel) -> OpenClipModel:
        return rn50


class TestEmbedding(ModelSuite):
    layer, unit, column = "output", "1000", 1000

    @pytest.fixture
    def model(self, rn50: OpenClipModel) -> OpenClipModel:
        return rn50


class TestUnitWithMap(SystemSuite):
    @pytest.fixture
    def system(self, rn50: OpenClipModel) -> TorchUnit:
        return rn50.unit("layer3:7")


class TestDistribution(DistributionSuite):
    distribution = "maia-open-clip"
    light = frozenset({"maia_torch", "maia_exemplars"})
