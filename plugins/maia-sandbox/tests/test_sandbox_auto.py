"""Which sandbox `auto` chooses, and that it chooses none rather than run programs unconfined."""

from importlib import metadata

import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import SandboxError
from maia_core.registry import Registry
from maia_sandbox import lockdown
from maia_sandbox.auto import auto
from maia_sandbox.process import ProcessSandbox
from maia_sandbox.testing.trial import SuiteHost


@pytest.fixture
def no_seccomp(monkeypatch):
    monkeypatch.setattr(lockdown, "missing", lambda: "this kernel has no seccomp filters")


def with_distributions(*names):
    return Context(RunConfig(), Registry([metadata.distribution(name) for name in names]))


def test_process_comes_first():
    sandbox = auto(None, Context(RunConfig()))
    assert isinstance(sandbox, ProcessSandbox)
    sandbox.close()


def test_refuses_without_seccomp_and_without_the_plugin(no_seccomp):
    with pytest.raises(SandboxError, match=r"no seccomp filters.*pip install maia-sandbox-monty"):
        auto(None, with_distributions("maia-core"))


def test_process_by_name_refuses_without_seccomp(no_seccomp):
    with pytest.raises(SandboxError, match="no seccomp filters"):
        ProcessSandbox(ProcessSandbox.Config(), Context(RunConfig()))


def test_takes_the_plugin_where_there_is_no_seccomp(no_seccomp):
    plugin = pytest.importorskip("maia_sandbox_monty.sandbox")
    sandbox = auto(None, with_distributions("maia-core", "maia-sandbox-monty"))
    assert isinstance(sandbox, plugin.MontySandbox)
    assert sandbox.run("def run_experiment(system, tools): return 1", SuiteHost()).value == "1"
    sandbox.close()
