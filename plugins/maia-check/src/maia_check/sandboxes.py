"""`maia check sandbox`: prints how this machine confines programs, and tests it with hostile ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maia_core.plugin import RunContext, Sandbox


@click.command()
@click.argument("name", default="auto")
@click.option("--hostile", is_flag=True, help="Run every hostile program in it; exit code 1 if one escapes.")
def sandbox(name: str, hostile: bool) -> int:
    """Print the protection that the sandbox NAME has on this machine [default: auto]."""
    from maia_core.plugin import Context, RunConfig, installed
    from maia_sandbox.testing.trial import LIMITS

    context = Context(RunConfig(experiment=LIMITS) if hostile else RunConfig())
    made: Sandbox = installed().build("sandbox", name, {}, context)
    try:
        _describe(made, context)
        return _try(made, context) if hostile else 0
    finally:
        made.close()


def _name(made: Sandbox, context: RunContext) -> str:
    plugins = context.registry.of_kind("sandbox")
    return next((plugin.name for plugin in plugins if plugin.load() is type(made)), type(made).__name__)


def _describe(made: Sandbox, context: RunContext) -> None:
    describe = getattr(made, "describe", lambda: [("measures", "the plugin does not describe them")])
    rows = [("sandbox", _name(made, context)), *describe()]
    width = max(len(measure) for measure, _ in rows)
    for measure, state in rows:
        click.echo(f"{measure:{width}}  {state}")


def _try(made: Sandbox, context: RunContext) -> int:
    """Runs the hostile programs, prints a line for each group of them, and returns the exit code."""
    import os
    import tempfile
    from itertools import groupby
    from pathlib import Path
    from unittest import mock

    from maia_core.plugin import UsageError
    from maia_core.testing import InProcessSandbox
    from maia_sandbox.testing.hostile import programs
    from maia_sandbox.testing.trial import SuiteHost, Trap, fault, suite_secret

    if isinstance(made, InProcessSandbox):
        raise UsageError("unsafe-inprocess confines nothing: hostile programs would harm this machine; choose another")
    click.echo()
    stopped = tried = 0
    with mock.patch.dict(os.environ, MAIA_HOSTILE_SECRET=suite_secret):
        for group, hostiles in groupby(programs(), lambda hostile: hostile.group):
            faults, count = [], 0
            for hostile in hostiles:
                with tempfile.TemporaryDirectory() as folder:
                    trap = Trap(Path(folder))
                    try:
                        found = fault(made, SuiteHost(), trap, hostile)
                    finally:
                        trap.close()
                count += 1
                if found:
                    faults.append(f"  NOT STOPPED: {hostile.name}: {found}")
            click.echo(f"{group:16} {count - len(faults):3} of {count}")
            for line in faults:
                click.echo(line)
            stopped, tried = stopped + count - len(faults), tried + count
    click.echo(f"\n{stopped} of {tried} stopped, {_user()}")
    return 0 if stopped == tried else 1


def _user() -> str:
    import os

    if not hasattr(os, "geteuid"):
        return "as this user"
    return "as root" if os.geteuid() == 0 else "as an ordinary user; not run as root"
