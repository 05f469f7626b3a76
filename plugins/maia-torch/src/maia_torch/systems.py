"""`maia systems`: Show the installed models, and the layers and units of one."""

from __future__ import annotations

import fnmatch
import json
from typing import TYPE_CHECKING, Any

import click

from maia_cli import config_options

if TYPE_CHECKING:
    from maia_core.plugin import LayerInfo, RunConfig


@click.group()
def systems() -> None:
    """Show the models that MAIA can explain, their layers and units."""


@systems.command("list")
@click.argument("plugin", required=False)
@click.argument("pattern", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def list_models(plugin: str | None, pattern: str | None, as_json: bool) -> None:
    """List the installed model plugins, or the models that one PLUGIN offers, of a PATTERN (resnet*) if one is given.

    A plugin that stands for many models takes theirs after a slash: torchvision/resnet152.
    """
    from maia_core.plugin import installed

    if plugin is None:
        for found in installed().of_kind("model"):
            record = {"name": found.name, "distribution": found.distribution, "summary": found.summary}
            click.echo(json.dumps(record) if as_json else f"{found.name:20} {_line(found.summary)}")
        if not as_json:
            click.echo("\n`maia systems list NAME` names its models, `maia systems show NAME` the layers of one.")
        return
    for name in _names(plugin, pattern):
        click.echo(json.dumps({"name": name}) if as_json else name)


def _names(plugin: str, pattern: str | None) -> list[str]:
    """Returns the references of a plugin's models.

    Raises:
        UsageError: none fits the pattern.
    """
    from maia_core.plugin import UsageError, did_you_mean, installed

    factory = installed().get("model", plugin).load()
    offered = getattr(factory, "models", None)
    if offered is None:
        return [plugin]
    names = offered()
    matching = [name for name in names if pattern is None or fnmatch.fnmatchcase(name, pattern) or pattern in name]
    if not matching:
        raise UsageError(f"{plugin} has no model '{pattern}'.{did_you_mean(str(pattern), names)}")
    return [f"{plugin}/{name}" for name in matching]


@systems.command()
@click.argument("model", required=False)
@config_options(named_by={"system": "model"}, bare="system")
@click.option("--all", "everything", is_flag=True, help="Give every layer a line, also where many are alike.")
@click.option("--depth", type=click.IntRange(1), help="Show this many levels of names only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per layer.")
def show(model: str | None, config: RunConfig, everything: bool, depth: int | None, as_json: bool) -> None:
    """Print the layers of MODEL as a tree: units, and rows x columns of their maps where they have any.

    Without MODEL, it is that of [system] in maia.toml.

    Siblings that are alike share a line: 0-7 are eight of them. The layers that the model calls its main ones are bold.
    """
    from maia_core.plugin import Context, UsageError

    if model is None:
        if config.system is None:
            raise UsageError("which model? Give MODEL, or set [system] in maia.toml; `maia systems list` lists models")
        model = config.system.name.partition(":")[0]
    if ":" in model:
        raise UsageError(f"'{model}' names a layer or a unit; give the model alone: {model.partition(':')[0]}")
    context = Context(config)
    context.warn_to(lambda line: click.echo(f"note: {_line(line)}", err=True))
    adapter = context.model(model, **(config.system.options if config.system else {}))
    layers = adapter.layers()
    if as_json:
        for layer in layers:
            click.echo(layer.model_dump_json())
        return
    _print(adapter.name, layers, not everything, depth)


def _print(model: str, layers: list[LayerInfo], collapse: bool, depth: int | None) -> None:
    from maia_torch.tree import rows

    lines = list(rows(layers, collapse, depth))
    width = max(len(line.text) for line in lines)
    units = max(len(f"{layer.units:,}") for layer in layers)
    click.echo(f"{click.style(model, bold=True)}  {len(layers):,} layers")
    for line in lines:
        text = line.text
        if line.layer is not None:
            size = "   {} x {}".format(*line.layer.shape[1:]) if len(line.layer.shape) == 3 else ""
            text = f"{text:{width}}  {line.layer.units:{units},} units{size}"
        click.echo(click.style(_printable(text), bold=line.layer is not None and line.layer.kind != "inner"))
    main = [layer for layer in layers if layer.kind == "main"] or layers
    click.echo(f"\nA unit is {model}:LAYER:NUMBER, such as {model}:{main[-1].name}:0.")


def _printable(text: str) -> str:
    from maia_core.plugin import printable

    return printable(text)


def _line(text: Any) -> str:
    from maia_core.plugin import printable_line

    return printable_line(str(text))
