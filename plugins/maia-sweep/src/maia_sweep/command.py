"""`maia sweep`: Explain several units, in one process or several."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maia_cli import PARTS, config_options, without_option
from maia_core.plugin import MaiaError, one_line, printable
from maia_sweep.options import runner_options

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig, Runner
    from maia_runs import FinishedRun


@click.command()
@click.argument("units", nargs=-1, required=True, metavar="MODEL:LAYER:UNIT...")
@runner_options
@config_options(*(kind for kind in PARTS if kind != "system"), named_by={"system": "units"}, of_run=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Write each unit's run into a folder of its own here.",
)
@without_option
def sweep(config: RunConfig, units: tuple[str, ...], out: Path, runner: Runner | None, without: tuple[str, ...]) -> int:
    """Explain several units. Rerun with the same --out to resume."""
    from maia_cli.progress import Progress
    from maia_cli.run import without_observers
    from maia_core.plugin import MANIFEST, Context, UsageError
    from maia_sweep.sweeping import sweep as explain_all

    # Each unit takes minutes, so a wrong name or folder fails before the first one.
    without_observers(without)
    parts = Context(config)
    for unit in units:
        parts.made_by_model(unit)
    if (out / MANIFEST).exists():
        raise UsageError(f"{out} is the folder of one run; choose another with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}; choose another folder with --out") from error
    answered = total = 0
    with Progress(live=sys.stderr.isatty()) as progress:
        for unit, result in explain_all(config, units, out, runner=runner, observers=[progress], without=without):
            total += 1
            answered += not isinstance(result, MaiaError) and result.outcome.status == "answered"
            click.echo(printable(" ".join(f"{unit}  {_line(result)}".split("\n"))))
    click.echo(f"{answered} of {total} answered; runs and reports in {out}")
    return 0 if answered == total else 1


def _line(result: FinishedRun | MaiaError) -> str:
    """Returns a unit's label, or why it has none."""
    if isinstance(result, MaiaError):
        return f"not run: {one_line(result)}"
    outcome = result.outcome
    return outcome.explanation.line if outcome.explanation else f"{outcome.status}: {outcome.reason}"
