"""The process sandbox passes the suite that every sandbox must pass."""

import pytest

from maia_sandbox.process import ProcessSandbox
from maia_sandbox.testing.sandbox_suite import SandboxSuite


@pytest.fixture(scope="module")
def sandbox():
    sandbox = ProcessSandbox(ProcessSandbox.Config(), SandboxSuite.context())
    yield sandbox
    sandbox.close()


class TestProcess(SandboxSuite):
    pass
