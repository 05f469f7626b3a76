"""`maia exemplars show` and `maia exemplars export`: the commands that read an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from maia_cli import config_options
from maia_exemplars.click_types import FOLDER, OUT

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig

F = TypeVar("F", bound=Callable[..., Any])


def quantile_option(where: str) -> Callable[[F], F]:
    """Adds `--quantile`; `where` says in its help to which form it applies."""
    return click.option(
        "--quantile",
        default=0.99,
        show_default=True,
        type=click.FloatRange(0, 1),
        help=f"Set the quantile that is the threshold of the masks{where}.",
    )


@click.command()
@click.argument("target", metavar="INDEX|MODEL[:LAYER[:UNIT]]")
@config_options("dataset", named_by={"system": "target"}, bare="system")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--images", type=FOLDER, metavar="FILE", help="Write the exemplars, masked, as one picture (PNG, JPEG).")
@click.option("--k", default=15, show_default=True, type=click.IntRange(1), help="Show this many exemplars at most.")
@quantile_option("")
def show(
    target: str,
    config: RunConfig,
    as_json: bool,
    images: Path | None,
    k: int,
    quantile: float,
) -> None:
    """Show a unit's exemplars, statistics and thresholds, from an index: its folder, or the model that it is of."""
    from maia_core.plugin import UsageError, printable_line
    from maia_exemplars.arguments import context_of, target_of, unit_of
    from maia_exemplars.printing import facts, print_summary, print_unit, write_picture

    folder, layer, unit = target_of(target, config)
    if not layer or not unit:
        if as_json or images:
            raise UsageError(f"which unit? Write {target}{'' if layer else ':LAYER'}:UNIT")
        print_summary(folder, [layer] if layer else None)
        return
    chosen_unit = unit_of(folder, layer, unit)
    if as_json:
        click.echo(json.dumps(facts(chosen_unit, k), allow_nan=False))
    else:
        print_unit(chosen_unit, k)
    if images is not None:
        write_picture(chosen_unit, context_of(config), k, quantile, images)
        click.echo(f"written: {printable_line(str(images))}", err=True)


@click.command()
@click.argument("target", metavar="INDEX|MODEL[:LAYER]")
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["parquet", "milan", "clip-dissect"]),
    help="Write this format. parquet: tables of units and of exemplars. milan: images, masks and activations, as MILAN "
    "and the MAIA paper's code read them. clip-dissect: activations on the uniform sample.",
)
@click.option("--out", required=True, type=OUT, help="Write into this folder.")
@click.option(
    "--units",
    help="Export the units with these numbers, separated by commas; milan only. Row I of its files is the I-th of them "
    "(units.npy), which readers take for unit I [default: all; 2 MB each].",
)
@quantile_option("; milan only")
@config_options("dataset", named_by={"system": "target"}, bare="system")
def export(
    target: str,
    form: str,
    out: Path,
    units: str | None,
    quantile: float,
    config: RunConfig,
) -> None:
    """Write an index in a form that other tools read."""
    from maia_core.plugin import UsageError, printable_line
    from maia_exemplars import export as forms
    from maia_exemplars.arguments import context_of, numbers_of, target_of
    from maia_exemplars.folder import Index

    folder, layer, unit = target_of(target, config)
    if unit:
        raise UsageError("whole layers are exported; leave out the unit (milan takes --units)")
    if units is not None and form != "milan":
        raise UsageError(f"--units is of --format milan; {form} writes all units: leave out --units")
    index = Index(folder)
    layers = [index.layer(name) for name in ([layer] if layer else index.layers())]
    if form == "parquet":
        written = forms.to_parquet(layers, out)
    elif form == "clip-dissect":
        written = [forms.to_clip_dissect(one, out) for one in layers]
    else:
        context = context_of(config)
        written = [forms.to_milan(one, context.dataset, out, numbers_of(units, one), quantile) for one in layers]
    for path in written:
        click.echo(printable_line(str(path)))
