"""The heuristic backbone keeps the promises of its kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.registry import installed
from maia_core.session import make_session
from maia_core.testing import BackboneSuite, DistributionSuite, FakeSandbox, fake_parts
from maia_core.types import Message
from maia_heuristic.backbone import HeuristicBackbone


def heuristic() -> HeuristicBackbone:
    return HeuristicBackbone(getattr(HeuristicBackbone, "Config", PluginConfig)(), Context())


class TestHeuristic(BackboneSuite):
    @pytest.fixture
    def backbone(self) -> HeuristicBackbone:
        return heuristic()

    @pytest.fixture
    def twin(self) -> HeuristicBackbone:
        return heuristic()

    @pytest.fixture
    def messages(self, tmp_path: Path) -> list[Message]:
        """How a run with the standard tools begins."""
        context = Context(registry=installed(), parts=fake_parts() | {"sandbox": FakeSandbox()}, cache=tmp_path)
        return make_session(context).conversation.messages


class TestDistribution(DistributionSuite):
    distribution = "maia-heuristic"
