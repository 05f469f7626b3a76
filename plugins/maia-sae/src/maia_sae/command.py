"""`maia sae`: Read the files of sparse autoencoders, and check that one fits its layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maia_cli import config_options

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig
    from maia_sae.autoencoder import Autoencoder


@click.group()
def sae() -> None:
    """Read the files of sparse autoencoders, and check that one fits its layer."""


@sae.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(file: str, as_json: bool) -> None:
    """Print what FILE is: its format, shapes, activation, centring, and the layer that it reads.

    FILE is a file of weights, or a folder with one. A file that a run could not use ends with exit code 2.
    """
    from maia_sae.formats import read_autoencoder

    record = _record(read_autoencoder(file))
    if as_json:
        click.echo(json.dumps(record))
        return
    for name, value in record.items():
        if value not in ("", None, {}):
            text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
            click.echo(f"{name.replace('_', ' '):<15} {_clean(str(text))}")
    layer = "" if record["layer"] else "LAYER:"
    click.echo(f"\nA unit is MODEL:{layer}sae={_clean(file)}:NUMBER, with numbers from 0 to {record['latents'] - 1}.")


@sae.command()
@click.argument("file")
@click.argument("out", required=False, type=click.Path(dir_okay=False, path_type=Path))
def convert(file: str, out: Path | None) -> None:
    """Write FILE as one safetensors file, OUT, with all its settings inside [default: FILE-maia.safetensors here]."""
    from maia_core.plugin import UsageError
    from maia_sae.contents import find_weights
    from maia_sae.convert import write_autoencoder
    from maia_sae.formats import read_autoencoder

    source = find_weights(file)
    target = out or Path(f"{source.name.partition('.')[0]}-maia.safetensors")
    if target.suffix != ".safetensors":
        raise UsageError(f"{target} cannot be written: the file must end in .safetensors")
    if target.exists():
        raise UsageError(f"{target} exists: remove it, or name another file")
    autoencoder = read_autoencoder(file)
    write_autoencoder(autoencoder, target)
    click.echo(f"{target}: {autoencoder.latents:,} latents of {autoencoder.units:,} units ({autoencoder.format})")


@sae.command()
@click.argument("layer")
@config_options(named_by={"system": "layer"}, bare="system")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(layer: str, config: RunConfig, as_json: bool) -> int:
    """Measure the autoencoder of LAYER, which is MODEL:LAYER:sae=FILE or MODEL:sae=FILE, on the run's data set.

    Prints the explained variance and L0 on 64 images, and the dead and the dense latents on 512. Exit code 1 if the
    autoencoder does not fit.
    """
    from maia_core.plugin import Context, UsageError

    name, _, inner = layer.partition(":")
    context = Context(config)
    warnings: list[str] = []
    context.warn_to(warnings.append)
    model: Any = context.model(name, **(config.system.options if config.system else {}))
    if "sae=" not in inner or not hasattr(model, "autoencoders"):
        raise UsageError(f"'{layer}' names no autoencoder of a torch model: write MODEL:LAYER:sae=FILE")
    derived = model.layer(inner)
    fit = model.autoencoders.fit(derived)
    idle = model.idle_units(derived.name)
    record = {
        "layer": f"{model.name}:{derived.name}",
        "explained_variance": None if fit is None else round(fit.explained_variance, 4),
        "l0": None if fit is None else round(fit.l0, 3),
        "dead": [unit for unit, reason in idle.items() if reason.startswith("dead")],
        "dense": [unit for unit, reason in idle.items() if reason.startswith("dense")],
        "warnings": warnings,
    }
    if as_json:
        click.echo(json.dumps(record))
    else:
        click.echo(_clean(str(record["layer"])))
        if fit is not None:
            click.echo(f"explained variance {fit.explained_variance:.3f}, L0 {fit.l0:.3g}, on {fit.images} images")
        else:
            click.echo("explained variance unknown: the file holds no decoder")
        for kind in ("dead", "dense"):
            units = [unit for unit, reason in idle.items() if reason.startswith(kind)]
            numbers = ", ".join(map(str, units[:20])) + (" ..." if len(units) > 20 else "")
            click.echo(f"{len(units):,} {kind} latents of {derived.info.units:,}{f': {numbers}' if units else ''}")
        for line in warnings:
            click.echo(f"note: {_clean(line)}", err=True)
    return int(bool(fit is not None and not fit.explained_variance >= 0.5))


def _record(autoencoder: Autoencoder) -> dict[str, Any]:
    encoder = autoencoder.encoder
    return {
        "format": autoencoder.format,
        "latents": autoencoder.latents,
        "units": autoencoder.units,
        "activation": encoder.label,
        "centring": autoencoder.centring,
        "input": {"none": "as the layer gives it"}.get(encoder.normalize, encoder.normalize),
        "decoder": "" if autoencoder.decoder is not None else "none: the fit cannot be checked",
        "model": autoencoder.home.model,
        "layer": autoencoder.home.layer,
        "token": autoencoder.home.token,
        "recorded": dict(autoencoder.recorded),
        "assumed": autoencoder.assumed,
    }


def _clean(text: str) -> str:
    from maia_core.plugin import printable_line

    return printable_line(text)
