"""`maia plugins`: List and show the installed plugins."""

from __future__ import annotations

import click

from maia_core.plugin import KINDS, MaiaError, Plugin, did_you_mean, installed, one_line, printable_line


@click.group()
def plugins() -> None:
    """List and show the installed plugins."""


@plugins.command("list")
@click.argument("kind", required=False, metavar="[KIND]", type=click.Choice(tuple(KINDS)))
def list_plugins(kind: str | None) -> None:
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
        click.echo(f"  {plugin.name:{width}}  {printable_line(plugin.origin)}")
    click.echo("\n" + click.style("distributions", bold=True))
    for origin, summary in sorted({(plugin.origin, plugin.summary) for plugin in chosen}):
        click.echo(f"  {printable_line(origin)}: {printable_line(summary)}")


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
    click.echo(f"  from {printable_line(plugin.origin)}: {printable_line(plugin.summary)}")
    click.echo(f"  at {printable_line(plugin.entry_point.value)}")
    try:
        factory = plugin.load()
    except MaiaError as error:
        click.echo(f"  broken: {printable_line(one_line(error))}")
        return
    doc = inspect.getdoc(factory) or ""
    click.echo(f"  {printable_line(doc.partition(chr(10) * 2)[0])}")
    choose = KINDS[plugin.kind].choose.replace("{kind}", plugin.kind).replace("{name}", plugin.name)
    click.echo(f"  {choose}")
    config = getattr(factory, "Config", None)
    for name, field in config.model_fields.items() if config else ():
        default = "required" if field.is_required() else f"default {field.default!r}"
        kind = inspect.formatannotation(field.annotation)
        click.echo(f"  {name}: {kind}, {default}. {printable_line(field.description or '')}")
