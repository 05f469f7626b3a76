"""`maia check`: Check a backbone or a sandbox before a run relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from maia_check.sandboxes import sandbox
from maia_cli import config_options

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig


@click.group()
def check() -> None:
    """Check a backbone or a sandbox before a run relies on it; `maia doctor` checks the installation."""


check.add_command(sandbox)


@check.command()
@click.argument("name")
@config_options(named_by={"backbone": "name"}, bare="backbone")
def backbone(name: str, config: RunConfig) -> int:
    """Ask the backbone NAME two small real questions: one with an image, one with a program to write.

    Prints each failure and its cost. The program runs in the sandbox, on a toy unit. Exit code 1 if a question failed.
    """
    from maia_check.probes import probes
    from maia_core.plugin import Context

    context = Context(config)
    context.warn_to(lambda line: click.echo(f"note: {_clean(line)}"))
    asked = context.part("backbone")
    info = asked.info
    click.echo(f"{_clean(info.name)} {_clean(info.model)}".rstrip())
    failed = 0
    for probe in probes(context, asked):
        failed += not probe.passed
        mark = click.style("ok", fg="green") if probe.passed else click.style("failed", fg="red")
        used = f"{probe.usage.input_tokens:,} + {probe.usage.output_tokens:,} tokens, {probe.usage.price}"
        click.echo(f"{probe.name}: {mark}, {probe.seconds:.1f} s, {used}")
        click.echo(f"  {_clean(probe.says)}")
    return 1 if failed else 0


def _clean(text: str) -> str:
    from maia_core.plugin import printable_line

    return printable_line(text)
