"""The process sandbox passes the suite that every sandbox must pass."""

import pytest

from maia_sandbox.process import ProcessSandbox
from maia_sandbox.testing.sandbox_suite import SandboxSuite


class TestProcess(SandboxSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def sandbox(cls):
        sandbox = ProcessSandbox(ProcessSandbox.Config(), cls.context())
        yield sandbox
        sandbox.close()
