"""A network of timm and some of its units keep the promises of their kinds."""

from __future__ import annotations

import pytest

from maia_core.testing import DistributionSuite
from maia_timm import TimmModel
from maia_torch.testing import ZooSuite


class TestTokens(ZooSuite):
    layer, unit, column = "blocks.9.mlp.fc1", "12", 12

    @pytest.fixture
    def model(self, vit: TimmModel) -> TimmModel:
        return vit


class TestTokenFeature(TestTokens):
    layer, unit, column = "blocks.3", "7", 7


class TestProbabilities(TestTokens):
    layer, unit, column = "prob", "tiger", 292


class TestDistribution(DistributionSuite):
    distribution = "maia-timm"
