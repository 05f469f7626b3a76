import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.testing import BackboneSuite, DistributionSuite, fake_parts
from maia_mcp.backbone import DRIVER, McpClient
from maia_runs.replies import program_reply


class _Driver:
    def __init__(self):
        self.messages = []

    def reply(self, messages):
        self.messages = messages
        return program_reply("def run_experiment(system, tools):\n    return 1")


class TestMcpClient(BackboneSuite):
    @pytest.fixture
    def driver(self):
        return _Driver()

    @pytest.fixture
    def backbone(self, driver):
        token = DRIVER.set(driver)
        yield McpClient(McpClient.Config(client="tester"), Context(RunConfig(), parts=fake_parts()))
        DRIVER.reset(token)


class TestDistribution(DistributionSuite):
    distribution = "maia-mcp"
