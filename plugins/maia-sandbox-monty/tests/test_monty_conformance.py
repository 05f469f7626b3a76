"""The monty sandbox passes the suite that every sandbox must pass."""

import pytest

from maia_sandbox.testing.sandbox_suite import SandboxSuite
from maia_sandbox_monty.sandbox import MontySandbox


@pytest.fixture(scope="module")
def sandbox():
    sandbox = MontySandbox(MontySandbox.Config(), SandboxSuite.context())
    yield sandbox
    sandbox.close()


class TestMonty(SandboxSuite):
    names_late_line = False
