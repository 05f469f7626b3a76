from maia_core.testing.suites import DistributionSuite


class TestDistribution(DistributionSuite):
    distribution = "maia-check"
