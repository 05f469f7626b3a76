"""The distribution keeps its promises."""

from __future__ import annotations

from maia_core.testing import DistributionSuite


class TestDistribution(DistributionSuite):
    distribution = "maia-exemplars"
    optional = frozenset({"pyarrow"})
