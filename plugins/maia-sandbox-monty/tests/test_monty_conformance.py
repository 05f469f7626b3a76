"""The monty sandbox passes the suite that every sandbox must pass."""

import pytest

from maia_sandbox.testing.sandbox_suite import SandboxSuite
from maia_sandbox_monty.sandbox import MontySandbox


class TestMonty(SandboxSuite):
    names_late_line = False
    offers_numpy = False

    @pytest.fixture(scope="class")
    @classmethod
    def sandbox(cls):
        sandbox = MontySandbox(MontySandbox.Config(), cls.context())
        yield sandbox
        sandbox.close()
