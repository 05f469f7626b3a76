"""`maia backbones`: Lists the installed backbones with their keys and abilities; checks one with two questions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from maia_cli import config_options

if TYPE_CHECKING:
    from maia_core.plugin import ModelOption, RunConfig

    Row = tuple[str, ModelOption]

COLUMNS = ("backbone", "model", "key", "images", "window", "$ in / out", "")


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of a table.")
@click.pass_context
def backbones(context: click.Context, as_json: bool) -> None:
    """List the installed backbones: whether each has its key, and its abilities.

    Prices are US dollars per million tokens, read and written. The command uses no network.
    """
    if context.invoked_subcommand is not None:
        return
    rows = _rows()
    if as_json:
        for name, sheet in rows:
            click.echo(json.dumps({"backbone": name} | sheet.model_dump(mode="json")))
        return
    if not rows:
        click.echo(
            "no backbone is installed; `pip install maia-heuristic` needs no key, `maia-litellm` reaches most models"
        )
        return
    _table([COLUMNS, *(_cells(name, sheet) for name, sheet in rows)])


def _rows() -> list[Row]:
    from maia_core.plugin import BackboneInfo, MaiaError, ModelOption, installed, one_line

    rows = []
    for plugin in installed().of_kind("backbone"):
        try:
            factory = plugin.load()
            models = getattr(factory, "models", None)
            sheets = (
                models() if models else [ModelOption(info=_info(factory, plugin.name), input_price=0, output_price=0)]
            )
        except MaiaError as error:
            sheets = [ModelOption(info=BackboneInfo(name=plugin.name), ready=False, note=one_line(error))]
        rows += [(plugin.name, sheet) for sheet in sheets]
    return rows


def _info(factory: Any, name: str) -> Any:
    """Returns a backbone's own description of itself where its class has one, or else its name."""
    from maia_core.plugin import BackboneInfo

    info = getattr(factory, "info", None)
    return info if isinstance(info, BackboneInfo) else BackboneInfo(name=name)


def _cells(name: str, sheet: ModelOption) -> tuple[str, ...]:
    if not sheet.ready and not sheet.key:
        return (name, sheet.model, *[""] * 4, sheet.note)
    key = f"{sheet.key}: {'found' if sheet.ready else 'not set'}" if sheet.key else "none needed"
    info = sheet.info
    images = "no" if not info.images else "yes" if info.max_images is None else f"up to {info.max_images}"
    window = "" if info.context_tokens is None else f"{info.context_tokens:,}"
    return (name, sheet.model, key, images, window, _price(sheet), sheet.note)


def _price(sheet: ModelOption) -> str:
    prices = (sheet.input_price, sheet.output_price)
    if prices == (0, 0):
        return "none"
    return " / ".join("unknown" if price is None else f"{price:.4g}" for price in prices)


def _table(rows: list[tuple[str, ...]]) -> None:
    from maia_core.plugin import printable

    clean = [[printable(" ".join(cell.split())) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    for number, row in enumerate(clean):
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=number == 0))


@backbones.command()
@click.argument("name")
@config_options(named_by={"backbone": "name"}, bare="backbone")
def check(name: str, config: RunConfig) -> int:
    """Ask the backbone NAME two small real questions: one with an image, one with a program to write.

    Prints each failure and its cost. The program runs in the sandbox, on a toy unit. Exit code 1 if a question failed.
    """
    from maia_check.probes import probes
    from maia_core.plugin import Context

    context = Context(config)
    context.warn_to(lambda line: click.echo(f"note: {_clean(line)}"))
    backbone = context.part("backbone")
    info = backbone.info
    click.echo(f"{_clean(info.name)} {_clean(info.model)}".rstrip())
    failed = 0
    for probe in probes(context, backbone):
        failed += not probe.passed
        mark = click.style("ok", fg="green") if probe.passed else click.style("failed", fg="red")
        used = f"{probe.usage.input_tokens:,} + {probe.usage.output_tokens:,} tokens, {probe.usage.price}"
        click.echo(f"{probe.name}: {mark}, {probe.seconds:.1f} s, {used}")
        click.echo(f"  {_clean(probe.says)}")
    return 1 if failed else 0


def _clean(text: str) -> str:
    from maia_core.plugin import printable_line

    return printable_line(text)
