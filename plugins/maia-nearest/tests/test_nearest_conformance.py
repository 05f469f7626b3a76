"""The describer keeps the promises of its kind."""

from __future__ import annotations

import pytest

from maia_core.testing import DescriberSuite, DistributionSuite
from maia_nearest.describer import Nearest


class TestNearest(DescriberSuite):
    @pytest.fixture
    def describer(self, nearest: Nearest) -> Nearest:
        return nearest


class TestDistribution(DistributionSuite):
    distribution = "maia-nearest"
