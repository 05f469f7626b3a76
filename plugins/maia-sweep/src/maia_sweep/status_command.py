"""`maia sweep status`: how far a sweep is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maia_core.plugin import printable_line

if TYPE_CHECKING:
    from maia_sweep.measures import Progress

MAX_RUNNING = 20
"""Running units that are listed."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def status(folder: Path, as_json: bool) -> None:
    """Show how far a sweep is: units done, running and failed, and the time and money left.

    DIR is the --out of `maia sweep`. It may be read while the sweep runs.
    """
    from maia_sweep.measures import progress

    plan, found = progress(folder)
    if as_json:
        fields = found._asdict() | {
            "pending": found.pending,
            "running": [each._asdict() for each in found.running],
            "state": found.state.model_dump(mode="json"),
            "inactive": plan.inactive,
            "dense": plan.dense,
            "missing": plan.missing,
        }
        click.echo(json.dumps(fields))
        return
    if plan.first is not None:
        stage = f"first stage ({plan.first['name']})" if found.stage == "first" else "second stage (the agent)"
        click.echo(f"{printable_line(stage)}, which takes {found.units} of {len(plan.units)} units")
    for line in summary(found):
        click.echo(printable_line(line))
    for each in found.running[:MAX_RUNNING]:
        turns = f", turn {each.turns}" if each.turns else ""
        click.echo(printable_line(f"  {each.unit}: {duration(each.seconds)}{turns} ({each.owner})"))
    if len(found.running) > MAX_RUNNING:
        click.echo(f"  and {len(found.running) - MAX_RUNNING} more")
    if plan.inactive or plan.dense or plan.missing:
        counts = {"units that are never active": plan.inactive, "dense latents": plan.dense}
        counts["that do not exist"] = len(plan.missing)
        click.echo("left out: " + ", ".join(f"{count} {what}" for what, count in counts.items() if count))


def summary(found: Progress) -> list[str]:
    """Returns the counts, and the time and money used and left, in lines."""
    done = found.answered + found.stopped
    waiting = max(0, found.pending - found.failed - len(found.running))
    lines = [
        f"{done} of {found.units} done ({found.answered} answered, {found.stopped} stopped without a label), "
        f"{len(found.running)} running, {found.failed} failed, {waiting} waiting",
        f"used ${found.state.cost:,.2f} and {found.state.tokens:,} tokens",
    ]
    if found.rate:
        left = "" if found.left is None else f"; about {duration(found.left)}"
        money = f" and ${found.cost_left:,.2f}" if left and found.cost_left else ""
        lines.append(f"{found.rate * 3600:,.0f} units per hour{left}{money} left" if left else "")
    return [line for line in lines if line]


def duration(seconds: float) -> str:
    """Returns a time in words: `50 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
