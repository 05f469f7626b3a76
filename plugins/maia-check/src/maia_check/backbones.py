"""`maia backbones`: List the installed backbones with their keys, abilities and prices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from maia_core.plugin import ModelOption

    Row = tuple[str, ModelOption]

COLUMNS = ("backbone", "model", "key", "images", "window", "$ in / out", "")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of a table.")
def backbones(as_json: bool) -> None:
    """List the installed backbones: whether each has its key, and its abilities.

    Prices are US dollars per million tokens, read and written. The command uses no network.
    """
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
