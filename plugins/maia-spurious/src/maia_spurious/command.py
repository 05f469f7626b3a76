"""`maia spurious`: Find the units of a classifier that respond to a class and not to its environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maia_cli import PARTS, config_options, option_value
from maia_sweep.options import runner_options

if TYPE_CHECKING:
    from maia_cli.progress_line import ProgressLine
    from maia_core.plugin import RunConfig, Runner
    from maia_spurious.results import Results

BASELINES = ("exemplar-summary", "clip-dissect")


@click.command()
@click.argument("system", metavar="[MODEL:LAYER]", required=False)
@click.option(
    "--dataset",
    default="collage-paired",
    metavar="NAME",
    help="Choose a data set with environments: spawrious, or [default: collage-paired].",
)
@runner_options
@config_options(
    *(kind for kind in PARTS if kind not in ("system", "task", "dataset")),
    named_by={"system": "system", "dataset": "dataset"},
    of_run=True,
)
@click.option(
    "-t",
    "--training",
    "training",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set how a classifier is trained where no MODEL:LAYER is given: base, base.OPTION, layer, train, epochs.",
)
@click.option("--units", default=50, type=click.IntRange(2), help="Keep this many units by l1 [default: 50].")
@click.option("--seeds", default=10, type=click.IntRange(2), help="Split and fit this many times [default: 10].")
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="EXPLAINER",
    help=f"Compare with this explainer's labels [default: {', '.join(BASELINES)}]; `none` for no other.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR",
    help="Write the classifier, the runs and the results into this folder. Rerun the same command to resume.",
)  # fmt: skip
def spurious(
    config: RunConfig,
    system: str | None,
    dataset: str,
    training: tuple[str, ...],
    units: int,
    seeds: int,
    baselines: tuple[str, ...],
    runner: Runner | None,
    out: Path,
) -> None:
    """Find the units of a classifier that respond to a class and not to its environment, and use them alone.

    Without MODEL:LAYER, MAIA trains a classifier on the data set first.
    """
    from maia_cli.progress_line import ProgressLine
    from maia_core.plugin import MANIFEST, Context, UsageError, write_atomically
    from maia_spurious.page import PAGE, render
    from maia_spurious.protocol import study

    if (out / MANIFEST).exists():
        raise UsageError(f"cannot write into {out}: it is the folder of a run; choose another --out")
    chosen = [name for name in baselines or BASELINES if name != "none"]
    context = Context(config)
    for name in chosen:
        context.build("explainer", name)
    if system and training:
        raise UsageError("--training is for a classifier that MAIA trains; leave it out, or leave MODEL:LAYER out")
    with ProgressLine() as line:
        if not system:
            system = _trained(context, training, out, line)
        results = study(config, system, out, units=units, seeds=seeds, baselines=chosen, runner=runner, tell=line)
    for text in lines(results):
        click.echo(text)
    write_atomically(out / PAGE, render(results, out).encode("utf-8", "replace"))
    click.echo(f"results, runs and report: {out / PAGE}")


def _trained(context: Any, training: tuple[str, ...], out: Path, line: ProgressLine) -> str:
    """Trains a classifier, unless the folder has one already, and returns its layer."""
    from maia_core.plugin import UsageError, validated
    from maia_spurious.classifier import FILE, Description
    from maia_spurious.protocol import split_of
    from maia_spurious.training import Training, origin, train

    folder = out / "classifier"
    given = dict(map(option_value, training))
    options = {key.removeprefix("base."): given.pop(key) for key in list(given) if key.startswith("base.")}
    settings = validated(Training, given, "--training")
    dataset = split_of(context, "train")
    if not (folder / FILE).is_file():
        train(folder, settings, options, dataset, context, line)
        return f"classifier/{folder}:features"
    made = Description.read(folder)
    wanted = settings.model_dump() | origin(dataset, context) | {"base options": options}
    for key, value in wanted.items():
        found = made.base.options if key == "base options" else made.settings.get(key)
        if found != value:
            raise UsageError(
                f"{folder} was trained with {key} = {found}, not {value}; choose another --out, or the same options"
            )
    return f"classifier/{folder}:features"


def lines(results: Results) -> Iterator[str]:
    """Yields the table, and how well each method tells selective units, as lines for a terminal."""
    yield f"{'row':42} {'fit on':10} {'units':>6} {'accuracy':>8} {'95 % interval':>15} {'worst group':>11}"
    for row in results.rows:
        mean, low, high = row.interval()
        spread = f"   (deviation over sets {row.draws:.3f})" if row.draws else ""
        yield (
            f"{row.name:42.42} {row.training:10} {round(row.units, 1):6g} {mean:8.3f} [{low:6.3f}, {high:6.3f}] "
            f"{row.interval(row.worst)[0]:11.3f}{spread}"
        )
    yield f"{'compared, paired by seed':78} {'mean':>6} {'95 % interval':>17}"
    for name, mean, low, high in results.comparisons():
        yield f"{name:78.78} {mean:6.3f} [{low:7.3f}, {high:7.3f}]"
    true = sum(unit.selective for unit in results.units)
    yield f"{true} of {len(results.units)} units are selective (one class explains over 80 % of the variance)."
    for method in results.units[0].decisions:
        precision, recall = results.precision_and_recall(method)
        kept = sum(unit.decisions[method].keep for unit in results.units)
        shown = (f"{name} {'-' if value is None else format(value, '.2f')}" for name, value in
                 (("precision", precision), ("recall", recall)))  # fmt: skip
        silent = sum(not unit.decisions[method].answered for unit in results.units)
        without = f", {silent} without an answer" if silent else ""
        yield f"{method}: kept {kept}, {', '.join(shown)}{without}"
