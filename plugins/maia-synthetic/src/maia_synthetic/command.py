"""`maia synthetic`: List synthetic neurons, and count how many of them a backbone named."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def synthetic() -> None:
    """List synthetic neurons, and count how many of them were named."""


@synthetic.command("list")
@click.argument("name", default="collage", metavar="[LIST]")
@click.option(
    "--refs", is_flag=True, help="Print the references for `maia sweep` only, which hide the neurons' concepts."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of a table.")
def list_neurons(name: str, refs: bool, as_json: bool) -> None:
    """List the neurons of a LIST: `paper`, `collage` (the default), or `collage@SEED` for others by the same rules.

    Choose one with --system synthetic:LIST/NUMBER.
    """
    from maia_core.plugin import Context
    from maia_labels.expression import kind, text_of
    from maia_synthetic.lists import neurons_of

    neurons = neurons_of(name, Context())
    if refs:
        click.echo(" ".join(f"synthetic:{name}/{number}" for number in range(1, len(neurons) + 1)))
        return
    width = len(f"{name}/{len(neurons)}")
    for number, neuron in enumerate(neurons, 1):
        row = {"neuron": f"{name}/{number}", "kind": kind(neuron), "responds to": text_of(neuron)}
        click.echo(json.dumps(row) if as_json else f"{row['neuron']:{width}}  {row['kind']:11}  {row['responds to']}")


@synthetic.command()
@click.option(
    "--seed",
    type=click.IntRange(0, 10**9 - 1),
    default=0,
    show_default=True,
    help="Draw the list with this random seed.",
)
def draw(seed: int) -> None:
    """Draw a benchmark list over the collage pack, and print it in the form of the package's data file."""
    from maia_core.plugin import Context
    from maia_synthetic.draw import draw as drawn

    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in drawn(seed, Context()).items())
    click.echo("{\n" + ",\n".join(lines) + "\n}")


@synthetic.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of tables.")
def score(runs: tuple[Path, ...], as_json: bool) -> None:
    """Count how many synthetic neurons the runs named; RUN is a run folder, or a folder of these (--out of a sweep).

    right: exactly the neuron's concepts, joined as they are there. near: each concept that is named is one of the
    neuron's, or a broader or narrower one. Concepts are those of the collage laboratory.
    """
    from maia_synthetic.tally import score_runs, table

    scored = score_runs(runs)
    for line in [json.dumps(each._asdict()) for each in scored] if as_json else table(scored):
        click.echo(line)
