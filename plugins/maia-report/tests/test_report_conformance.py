"""The distribution loads lightly and declares what it imports."""

from __future__ import annotations

from maia_core.testing import DistributionSuite


class TestDistribution(DistributionSuite):
    distribution = "maia-report"
