from maia_core.testing import DistributionSuite


class TestDistribution(DistributionSuite):
    distribution = "maia-check"
