"""`maia sweep`: Explain many units, and continue where it stopped."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from maia_cli import PARTS, config_options, without_option
from maia_sweep.options import runner_for, runner_options
from maia_sweep.status_command import status

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig, Runner


class _Sweep(click.Command):
    """A command with subcommands: `maia sweep status DIR` is one, anything else names units."""

    commands: ClassVar = {"status": status}

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Makes the context of the subcommand that the first argument names, or of this command."""
        if args and (inner := self.commands.get(args[0])):
            return inner.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


class _Shard(click.ParamType[tuple[int, int]]):
    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        number, slash, of = str(value).partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            self.fail(f"'{value}' is not a shard; write I/N with I from 1 to N, such as 2/8", param, ctx)
        return int(number), int(of)


class _Positive(click.FloatRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"'{value}' is not a finite number; leave the option out for no limit", param, ctx)
        return number


class _Forecast(click.ParamType[tuple[float | None, float | None]]):
    name = "USD|HOURSh"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float | None, float | None]:
        text = str(value)
        try:
            number = float(text.removesuffix("h").removeprefix("$"))
        except ValueError:
            self.fail(f"'{value}' is neither dollars nor hours; write 20 or 8h", param, ctx)
        if not (math.isfinite(number) and number >= 0):
            self.fail(f"'{value}' is neither dollars nor hours from 0; write 20 or 8h", param, ctx)
        return (None, number) if text.endswith("h") else (number, None)


@click.command(cls=_Sweep)
@click.argument("units", nargs=-1, metavar="[UNITS]...")
@click.option("--units", "file", type=click.Path(path_type=Path), help="Read units from a file, one per line.")
@click.option(
    "--from",
    "table",
    type=click.Path(path_type=Path),
    metavar="TABLE",
    help="Take the units of an earlier table: .parquet, .csv, or the folder of a sweep.",
)
@click.option("--where", metavar="SQL", help='Take the rows of --from for which this holds: "pearson < 0.3".')
@click.option("--draw", type=click.IntRange(1), metavar="N", help="Draw N of the units at random, by --seed.")
@click.option("--include-inactive", is_flag=True, help="Explain units that are never active, too.")
@click.option("--shard", type=_Shard(), help="Explain every N-th unit only, from the I-th: 1/4, 2/4, 3/4 and 4/4.")
@click.option(
    "--first",
    metavar="NAME[:KEY=VALUE,...]",
    help="Label all units with this cheap explainer first, such as exemplar-summary, and score the labels.",
)
@click.option(
    "--rule",
    type=click.Choice(["worst", "polysemous", "random"]),
    default="worst",
    show_default=True,
    help="Choose which units the agent takes first after --first.",
)
@click.option(
    "--take", type=click.IntRange(0), metavar="N", help="Give N units to the agent after --first [default: all]."
)
@click.option(
    "--score-images",
    "images",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Score labels on this many held-out images.",
)
@click.option(
    "--max-cost",
    type=_Positive(0, min_open=True),
    metavar="USD",
    help="Stop when the sweep has used this money.",
)
@click.option("--max-tokens", type=click.IntRange(1), help="Stop when the sweep has used this many tokens.")
@click.option("--max-hours", "hours", type=_Positive(0, min_open=True), help="Stop starting units after this time.")
@click.option(
    "--calls-per-minute",
    type=_Positive(0, min_open=True),
    help="Limit the calls of the backbone, of all runs together.",
)
@click.option(
    "--confirm-above",
    type=_Forecast(),
    default=None,
    help="Ask before continuing if the forecast after the first units is above this money or time.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Write the table and the runs into this folder. Rerun with the same --out to resume.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of text.")
@without_option
@runner_options
@config_options(*(kind for kind in PARTS if kind != "system"), named_by={"system": "units"}, of_run=True)
def sweep(
    config: RunConfig, units: tuple[str, ...], file: Path | None, table: Path | None, where: str | None,
    draw: int | None, include_inactive: bool, shard: tuple[int, int] | None, first: str | None, rule: Any,
    take: int | None, images: int, max_cost: float | None, max_tokens: int | None, hours: float | None,
    calls_per_minute: float | None, confirm_above: tuple[float | None, float | None] | None, out: Path,
    as_json: bool, runner: Runner | None, without: tuple[str, ...],
) -> int:  # fmt: skip
    """Explain many units, and continue where it stopped.

    UNITS are MODEL:LAYER:UNIT, MODEL:LAYER for all units of a layer, or MODEL:LAYER:0-511 for a range. Units that are
    never active on the data set are left out unless you name them one by one. Without UNITS, the sweep in --out
    continues; with other UNITS, they are added to it. `maia sweep status DIR` shows how far a sweep is.
    """
    from maia_cli.run import without_observers
    from maia_core.plugin import UsageError
    from maia_sweep.displays import display
    from maia_sweep.explaining import Choices, explain_units
    from maia_sweep.ledgers import SweepLimits
    from maia_sweep.stages import explainer_ref
    from maia_sweep.units import Selection

    if where is not None and table is None:
        raise UsageError("--where chooses rows of a table; name the table with --from")
    if take is not None and first is None:
        raise UsageError("--take limits the second stage; name the explainer of the first one with --first")
    without_observers(without)
    cost_above, hours_above = confirm_above or (None, None)
    choices = Choices(
        out=out,
        selection=Selection(
            words=units, file=str(file or ""), table=str(table or ""), where=where or "", draw=draw,
            inactive=include_inactive,
        ),
        shard=shard,
        first=None if first is None else explainer_ref(first).model_dump(),
        take=take,
        rule=rule,
        images=images,
        limits=SweepLimits(cost=max_cost, tokens=max_tokens, calls_per_minute=calls_per_minute),
        hours=hours,
        confirm_cost=cost_above,
        confirm_hours=hours_above,
        without=without,
    )  # fmt: skip
    try:
        with display(out, as_json) as shown:
            result = explain_units(config, choices, shown, _confirm, runner_for(config, runner))
            if result.reason and result.answered < result.units:
                shown.note(f"stopped: {result.reason}; run the command again with a higher limit to resume")
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(error) or "run the same command again to resume") from error
    text = f"{result.answered} of {result.units} answered; table, runs and reports in {out}"
    click.echo(text, err=as_json)
    return 0 if result.answered == result.units else 1


def _confirm(question: str) -> bool:
    """Asks the user; where there is no terminal, the answer is no."""
    return sys.stdin.isatty() and click.confirm(question, err=True)
