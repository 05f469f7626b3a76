"""`maia plugins`: Lists, shows and checks the installed plugins."""

from __future__ import annotations

import click

from maia_core.cli import clean
from maia_core.errors import MaiaError, did_you_mean, one_line
from maia_core.kinds import KINDS
from maia_core.registry import Plugin, installed


@click.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List, show and check the installed plugins."""
    if context.invoked_subcommand is None:
        context.invoke(list_plugins)


@plugins.command("list")
@click.argument("kind", required=False, metavar="[KIND]", type=click.Choice(tuple(KINDS)))
def list_plugins(kind: str | None = None) -> None:
    """List the installed plugins, of one KIND or all."""
    chosen = installed().of_kind(kind) if kind else installed().plugins
    if not chosen:
        click.echo(f"no {kind or 'plugin'} is installed; start with `pip install maia-standard`")
        return
    width = max(len(plugin.name) for plugin in chosen)
    last = ""
    for plugin in chosen:
        if plugin.kind != last:
            click.echo(("\n" if last else "") + click.style(plugin.kind, bold=True))
            last = plugin.kind
        click.echo(f"  {plugin.name:{width}}  {clean(plugin.origin)}")
    click.echo("\n" + click.style("distributions", bold=True))
    for origin, summary in sorted({(plugin.origin, plugin.summary) for plugin in chosen}):
        click.echo(f"  {clean(origin)}: {clean(summary)}")


@plugins.command()
@click.argument("name")
def show(name: str) -> None:
    """Import the plugin NAME, and show what it is and which options it takes."""
    everything = installed().plugins
    named = [p for p in everything if name in (p.name, f"{p.name}@{p.distribution}", f"{p.kind}:{p.name}")]
    if not named:
        raise click.UsageError(f"there is no plugin '{name}'.{did_you_mean(name, {p.name for p in everything})}")
    for plugin in named:
        _show(plugin)


def _show(plugin: Plugin) -> None:
    import inspect

    click.echo(click.style(f"{plugin.kind} {plugin.name}", bold=True))
    click.echo(f"  from {clean(plugin.origin)}: {clean(plugin.summary)}")
    click.echo(f"  at {clean(plugin.entry_point.value)}")
    try:
        factory = plugin.load()
    except MaiaError as error:
        click.echo(f"  broken: {clean(one_line(error))}")
        return
    doc = inspect.getdoc(factory) or ""
    click.echo(f"  {clean(doc.partition(chr(10) * 2)[0])}")
    click.echo(f"  {KINDS[plugin.kind].how_to_choose(plugin.name)}")
    config = getattr(factory, "Config", None)
    for name, field in config.model_fields.items() if config else ():
        default = "required" if field.is_required() else f"default {field.default!r}"
        kind = inspect.formatannotation(field.annotation)
        click.echo(f"  {name}: {kind}, {default}. {clean(field.description or '')}")


@plugins.command()
def doctor() -> int:
    """Import every plugin, and name each fault; exit code 1 if there is one."""
    problems = installed().problems()
    for problem in problems:
        click.echo(f"{'warning: ' * problem.warning}{clean(problem.plugin)}: {clean(problem.cause)}")
    faults = sum(not problem.warning for problem in problems)
    click.echo(f"{len(installed().plugins)} plugins, {faults} problems, {len(problems) - faults} warnings")
    return 1 if faults else 0
