"""A network of timm and some of its units keep the promises of their kinds."""

from __future__ import annotations

import pytest

from maia_core.testing import DistributionSuite, ModelSuite, SystemSuite
from maia_timm import TimmModel
from maia_torch import TorchUnit


class TestTokens(ModelSuite):
    layer, unit, column = "blocks.9.mlp.fc1", "12", 12

    @pytest.fixture
    def model(self, vit: TimmModel) -> TimmModel:
        return vit


class TestProbabilities(ModelSuite):
    layer, unit, column = "prob", "tiger", 292

    @pytest.fixture
    def model(self, vit: TimmModel) -> TimmModel:
        return vit


class TestTokenFeature(SystemSuite):
    @pytest.fixture
    def system(self, vit: TimmModel) -> TorchUnit:
        return vit.unit("blocks.3:7")


class TestDistribution(DistributionSuite):
    distribution = "maia-timm"
    light = frozenset({"maia_torch", "maia_exemplars"})
