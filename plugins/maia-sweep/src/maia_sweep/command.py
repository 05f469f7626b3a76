"""`maia sweep`: Explain many units, and continue where it stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from maia_cli import PARTS, config_options, without_option
from maia_core.plugin import printable
from maia_sweep.options import runner_options
from maia_sweep.status_command import status

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig, Runner
    from maia_sweep.leases import Leases
    from maia_sweep.plans import Plan
    from maia_sweep.tables import Row
    from maia_sweep.units import Found, Selection


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
        if isinstance(value, tuple):
            return value
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            self.fail(f"'{value}' is not a shard; write I/N with I from 1 to N, such as 2/8", param, ctx)
        return int(number), int(of)


@click.command(cls=_Sweep)
@click.argument("units", nargs=-1, metavar="[UNITS]...")
@runner_options
@config_options(*(kind for kind in PARTS if kind != "system"), named_by={"system": "units"}, of_run=True)
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
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Write the table and the runs into this folder. Rerun with the same --out to resume.",
)
@without_option
def sweep(
    config: RunConfig, units: tuple[str, ...], file: Path | None, table: Path | None, where: str | None,
    draw: int | None, include_inactive: bool, shard: tuple[int, int] | None, out: Path, runner: Runner | None,
    without: tuple[str, ...],
) -> int:  # fmt: skip
    """Explain many units, and continue where it stopped.

    UNITS are MODEL:LAYER:UNIT, MODEL:LAYER for all units of a layer, or MODEL:LAYER:0-511 for a range. Units that are
    never active on the data set are left out unless you name them one by one. Without UNITS, the sweep in --out
    continues; with other UNITS, they are added to it.
    """
    from maia_cli.progress import Progress
    from maia_cli.run import without_observers
    from maia_core.plugin import UsageError, content_id, dumped
    from maia_sweep.drivers import AgentWorker, Driver
    from maia_sweep.leases import Leases
    from maia_sweep.plans import begin
    from maia_sweep.sweeping import Explain
    from maia_sweep.tables import AGENT
    from maia_sweep.units import Selection

    if where is not None and table is None:
        raise UsageError("--where chooses rows of a table; name the table with --from")
    # Each unit takes minutes, so a wrong name or folder fails before the first one.
    without_observers(without)
    plan = begin(out, config, None)
    selection = Selection(
        words=units, file=str(file or ""), table=str(table or ""), where=where or "", draw=draw,
        inactive=include_inactive,
    )  # fmt: skip
    found = None if not selection.chosen or plan.has(selection) else _found(config, selection)
    if found is None and not plan.units:
        raise UsageError(f"no unit is chosen, and {out} does not hold a sweep; name units or pass --units FILE")
    with Leases(out) as leases:
        plan = _saved(out, plan, selection, found, leases)
        chosen = list(plan.shard(*shard) if shard else plan.units)
        _introduce(plan, chosen)
        driver = Driver(out, leases)
        with Progress(live=sys.stderr.isatty()) as progress:
            explain = Explain(config, out, without, (progress,))
            worker = AgentWorker(explain, content_id(dumped(plan.config, sort_keys=True).encode()))
            try:
                for row in driver.explain(chosen, worker, runner=runner):
                    click.echo(printable(" ".join(f"{row.unit}  {_line(row)}".split("\n"))))
            finally:
                driver.table.export()
    driver.table.ended(AGENT)
    answered = len(driver.table.answered & set(chosen))
    click.echo(f"{answered} of {len(chosen) + len(plan.missing)} answered; table, runs and reports in {out}")
    return 0 if answered == len(chosen) + len(plan.missing) else 1


def _found(config: RunConfig, selection: Selection) -> Found:
    from maia_core.plugin import Context
    from maia_sweep.sweeping import system_of
    from maia_sweep.units import find_units

    return find_units(selection, Context(config), lambda word: system_of(config, word).options)


def _saved(out: Path, plan: Plan, selection: Selection, found: Found | None, leases: Leases) -> Plan:
    """Adds the units that were found to the plan in the folder, which another driver may have changed meanwhile."""
    from maia_sweep.plans import read_plan, save, writing

    with writing(out, leases):
        plan = read_plan(out) or plan
        if found is not None and not plan.has(selection):
            plan = plan.with_units(selection, found)
            save(out, plan)
    return plan


def _introduce(plan: Plan, chosen: list[str]) -> None:
    """Says what the sweep will do, and which units it leaves out."""
    click.echo(f"{len(chosen)} of {len(plan.units)} units", err=True) if len(chosen) < len(plan.units) else None
    if plan.inactive:
        click.echo(f"{plan.inactive} units are never active on the data set and are left out", err=True)
    for word, why in list(plan.missing.items())[:10]:
        click.echo(printable(f"left out: {word}: {why}"), err=True)
    if len(plan.missing) > 10:
        click.echo(f"left out: {len(plan.missing) - 10} more that do not exist", err=True)


def _line(row: Row) -> str:
    """Returns a unit's label, or why it has none."""
    if row.label:
        return row.label
    return f"{row.status}: {row.error}" if row.run else f"not run: {row.error}"
