"""The page of a study: the rows as a plot, the table, and what each method says of every unit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from maia_report.conditions import Condition
from maia_report.evidence import Plot, Row
from maia_report.page import environment, resource, source_hash
from maia_report.plot import Scale, strip
from maia_report.sections import HeatMap
from maia_spurious import rows
from maia_spurious.results import AGENT, Results, UnitResult

PAGE = "report.html"

STYLE = """
.rows td, .rows th { width: auto; white-space: nowrap; } .rows td:first-child { white-space: normal;
  min-width: 10em; overflow-wrap: normal; }
.rows .n { text-align: right; } .rows .own td { font-weight: 650; } .rows th { font-size: .75rem; }
.rows tr:first-child > td { border-top: 1px solid var(--line); }
.units { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr)); gap: 18px; }
.units .scroll { border: 0; padding: 0; } .units .heat { min-width: 100%; font-size: .8125rem; }
.units .heat th { font-size: .75rem; padding: 2px 6px 2px 0; } .units .heat td { padding: 5px 6px; }
.units h3 { margin: 0 0 8px; } .units ul { list-style: none; margin-top: 8px; font-size: .8125rem; }
.units li { display: grid; grid-template-columns: 8.5em 4.5em minmax(0, 1fr); gap: 8px; padding: 3px 0; }
.units li b { font-weight: 600; } .units .right { color: var(--good); } .units .wrong { color: var(--bad); }
"""


def render(results: Results, folder: Path) -> str:
    """Returns the page of a study; links to runs are relative to the folder of its results."""
    axis = Scale(0.0, 1.0)
    style = resource("report.css") + STYLE
    page = environment("maia_spurious").get_template("study.html.j2")
    return page.render(
        results=results,
        agent=AGENT,
        own=next((row for row in results.rows if row.name == AGENT), None),
        axis=axis,
        plot=Plot([_drawn(row, axis) for row in results.rows], 0, ()),
        comparisons=results.comparisons(),
        methods=[(name, *_counts(results, name)) for name in results.units[0].decisions],
        units=sorted(results.units, key=lambda unit: (-unit.decisions[AGENT].keep, -unit.share)),
        selective=sum(unit.selective for unit in results.units),
        heat=lambda unit: _heat(results, unit),
        link=lambda run: _link(folder, run),
        style=Markup(style),
        style_hash=source_hash(style),
    )


def _drawn(row: rows.Row, axis: Scale) -> Row:
    """Lays out one row: a dot per seed; the interval is the table's."""
    _, low, high = row.interval()
    name = row.name if row.training == "unbalanced" else f"{row.name} ({row.training})"
    marks = replace(strip(row.accuracy, axis), interval=(axis.x(low), axis.x(high)))
    return Row(Condition(name, (), exemplars=row.name == AGENT, stated=row.accuracy), marks)


def _counts(results: Results, method: str) -> tuple[int, float | None, float | None]:
    kept = sum(unit.decisions[method].keep for unit in results.units)
    return kept, *results.precision_and_recall(method)


def _heat(results: Results, unit: UnitResult) -> HeatMap:
    used = [n for n in range(len(results.environments)) if any(row[n] is not None for row in unit.table)]
    cells = [[row[n] for n in used] for row in unit.table]
    return HeatMap(results.classes, [results.environments[n] for n in used], cells)


def _link(folder: Path, run: str) -> Any:
    """Returns the address of a run's page, or of its folder where it has none, relative to the study's page."""
    inside = bool(run) and not os.path.isabs(run) and ".." not in Path(run).parts
    return quote(f"{run}/report.html" if (folder / run / "report.html").is_file() else run) if inside else ""
