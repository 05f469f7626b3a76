"""Lays a run out as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from maia_core.plugin import Evidence, HostCall, Image, Observers, RecordError, RunReader, installed, write_atomically
from maia_report.axis import axis_of, references
from maia_report.conditions import Condition
from maia_report.pictures import Gallery
from maia_report.plot import Scale, Strip, strip
from maia_report.scatter import figures, scatter
from maia_report.sections import MAX_CHANGES, MAX_COLUMNS, MAX_PAIRS, MAX_ROWS, HeatMap, changes
from maia_report.summary import MAX_PROBES, RunSummary
from maia_report.text import brief, clean, duration, number, tick

MAX_STEPS = 200
"""More turns than this are counted, not shown."""

MAX_RESULTS = 120
"""More results of one program than this are counted, not shown."""

MAX_EXEMPLARS = 15
"""Exemplars beside the claim."""

MAX_RECORDS, MAX_FIELDS = 200, 12
"""Rows and columns of a table of the answer: MAIA counts further rows, and draws no table of a wider value."""

PLOTTED_CONDITIONS = (12, 6)
"""How many conditions a plot shows from the top and from the bottom."""


@dataclass(frozen=True)
class Row:
    """One condition of a plot."""

    condition: Condition
    strip: Strip


@dataclass(frozen=True)
class Plot:
    """A plot of conditions: the rows from the top, how many are left out, and the rows from the bottom."""

    top: Sequence[Row]
    between: int
    bottom: Sequence[Row]


@dataclass(frozen=True)
class Records:
    """A part of the answer that is a list of flat objects: a row an object."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int


@dataclass(frozen=True)
class Exemplars:
    """The exemplars beside the claim: those that activate the unit, those that do not, and the note about them."""

    active: Sequence[tuple[float, Image]]
    idle: Sequence[tuple[float, Image]]
    text: str


def render_run(folder: Path) -> str:
    """Returns the page of the run in a folder, with the sections that installed observers add.

    Raises:
        RecordError: the folder is not a run folder.
    """
    run = RunReader(folder)
    observers = Observers(installed())
    sections = observers.tell("report_sections", run=run)
    return render(RunSummary(run), [_section(section) for section in sections], observers.take_problems())


def render(
    summary: RunSummary, sections: Sequence[tuple[str, str | HeatMap]] = (), problems: Sequence[str] = ()
) -> str:
    """Returns the page of a run.

    Args:
        summary: The run.
        sections: Titles, and texts to append or heat maps to show among the evidence.
        problems: Lines to add to the notes.
    """
    edited = changes(summary.run)
    pairs = [pair for change in edited[:MAX_CHANGES] for pair in change.pairs[:MAX_PAIRS]]
    gallery = Gallery([*summary.images(), *(image for pair in pairs for image in (pair.original, pair.edited))])
    lines, records = _extras(summary, [title for title, _ in sections])
    axis = axis_of(summary)
    style, script = f"{resource('report.css')}\n{gallery.css}", resource("report.js").strip()
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            run=summary.run,
            manifest=summary.run.manifest,
            outcome=summary.outcome,
            explanation=summary.outcome.explanation if summary.outcome else None,
            strengths=_strengths(summary),
            verdict=summary.verdict,
            scatters=[s for p in (summary.verdict.predictions if summary.verdict else ()) if (s := scatter(p))],
            ref=summary.run.manifest.system.ref or "a unit",
            created=_date(summary.run.manifest.created),
            gallery=gallery,
            axis=axis,
            references=references(summary, axis),
            overview=_plot(summary.all_conditions, axis),
            stated=_plot([_stated(evidence) for evidence in summary.evidence[:40]], axis),
            plot_of=lambda step: _plot(summary.conditions(step.logged), axis),
            steps=summary.steps[:MAX_STEPS],
            most_results=MAX_RESULTS,
            most_probes=MAX_PROBES,
            sections=[(title, text) for title, text in sections if isinstance(text, str)],
            heat_maps=[(title, table) for title, table in sections if isinstance(table, HeatMap)],
            changes=edited,
            most_changes=MAX_CHANGES,
            most_pairs=MAX_PAIRS,
            most_cells=(MAX_ROWS, MAX_COLUMNS),
            notes=[*dict.fromkeys([*summary.notes, *problems])],
            config=_flat(summary.run.manifest.config),
            answer=lines,
            records=records,
            lead=_lead(summary),
            exemplars=_exemplars(summary),
            arguments=lambda call: _arguments(call, summary.run),
            style=Markup(style),
            script=Markup(script),
            style_hash=source_hash(style),
            script_hash=source_hash(script),
        )
    )


def write_page(path: Path, page: str) -> Path:
    """Writes a page so that it is there whole or not at all; a link in its place is replaced, never followed.

    Raises:
        RecordError: it cannot be written.
    """
    try:
        write_atomically(path, page.encode("utf-8", "replace"))
    except OSError as error:
        raise RecordError(
            f"cannot write the report {path}: {error.strerror}; choose another file with --out"
        ) from error
    return path


@functools.cache
def environment(package: str = "maia_report") -> jinja2.Environment:
    """Returns the templates of a package and those of this one, with the filters of this page; they escape all text."""
    packages = dict.fromkeys((package, "maia_report"))
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["figures"] = figures
    environment.filters |= {
        "number": number, "tick": tick, "duration": duration, "brief": brief, "cut": clean, "python": _python,
        "lines": lambda text: len(text.splitlines()),
    }  # fmt: skip
    return environment


def _finalize(value: Any) -> Any:
    """Cleans every text that the template puts out; jinja2 escapes it afterwards."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def resource(name: str) -> str:
    """Returns a file beside the templates, such as `report.css`."""
    return (resources.files("maia_report") / "templates" / name).read_text(encoding="utf-8")


def source_hash(text: str) -> str:
    """Returns a source expression that allows one style or script in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _python(program: str) -> Markup:
    """Highlights a program: one `span` a line, classes only, everything escaped by pygments."""
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers.python import PythonLexer

    lines = highlight(clean(program).rstrip(), PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).rstrip("\n")
    return Markup("\n").join(Markup('<span class="line">{}</span>').format(Markup(line)) for line in lines.split("\n"))


def _plot(conditions: Sequence[Condition], axis: Scale) -> Plot:
    first, last = PLOTTED_CONDITIONS
    between = max(0, len(conditions) - first - last)
    rows = [Row(c, strip(c.activations, axis)) for c in [*conditions[:first], *conditions[first + between :]]]
    return Plot(rows[:first], between, rows[first:])


def _lead(summary: RunSummary) -> str:
    """Sums up the evidence in figures alone: what reaches the exemplars, what is highest and what is lowest."""
    tested = [condition for condition in summary.all_conditions if not condition.exemplars]
    if not tested:
        return "No condition beside the exemplars was logged."
    count = f"{len(tested)} condition{'s' if len(tested) != 1 else ''}"
    if summary.constant:
        return f"{count} tested, and nothing activated the unit: {number(tested[0].mean)} on every image."
    best, worst = tested[0], tested[-1]
    parts = [f"Highest is “{clean(best.title, 80)}” with a mean of {number(best.mean)}"]
    if worst is not best:
        parts.append(f"lowest “{clean(worst.title, 80)}” with {number(worst.mean)}")
    if summary.bar is not None:
        reach = sum(condition.mean >= summary.bar for condition in tested)
        return (
            f"{reach} of {count} reach the exemplars: a mean of at least {number(summary.bar)}, the lowest exemplar’s "
            f"activation. {', '.join(parts)}."
        )
    if summary.floor is None or summary.rest is None:
        return f"{count} tested. {', '.join(parts)}."
    active = sum(summary.activates(condition.mean) for condition in tested)
    if not active:
        return f"None of {count} activates the unit: the highest mean is {number(best.mean)}."
    return f"{active} of {count} activate the unit: a mean above {number(summary.rest)}. {', '.join(parts)}."


def _exemplars(summary: RunSummary) -> Exemplars:
    """Parts the exemplars that activate the unit from those that fill up the number, and says how many do."""
    shown = summary.exemplars[:MAX_EXEMPLARS]
    active = [pair for pair in shown if summary.activates(pair[0])]
    idle = [pair for pair in shown if not summary.activates(pair[0])]
    highest = f"the data set’s {len(shown)} highest images" if len(shown) != 1 else "the data set’s highest image"
    if not idle:
        text = highest[0].upper() + highest[1:]
    elif not active:
        text = f"No image of the data set activates the unit: {number(idle[0][0])} on its highest"
    else:
        text = f"{len(active)} of {highest} activate{'s' if len(active) == 1 else ''} the unit"
    return Exemplars(active, idle, text)


def _stated(evidence: Evidence) -> Condition:
    return Condition(evidence.condition, (), expected=evidence.expected, stated=evidence.activations)


def _arguments(call: HostCall, run: RunReader) -> str:
    """Writes a call as a program would, images as their titles."""
    try:
        value = run.value(call.arguments)
        positional = [_argument(argument) for argument in value["args"]]
        named = [f"{name}={_argument(argument)}" for name, argument in value["kwargs"].items()]
    except Exception:  # A record from elsewhere may hold anything here: show it as it is.
        return brief(call.arguments)
    return ", ".join([*positional, *named])


def _argument(value: Any) -> str:
    # A system that a program hands to a tool is recorded as this text.
    return "system" if value == "system" else brief(value, 240)


def _flat(config: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Lists a nested configuration as dotted keys and values."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, dict) and value:
            rows += [(prefix + key, value["name"])] if set(value) == {"name"} else _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and all(isinstance(item, dict) and set(item) == {"name"} for item in value):
            rows.append((prefix + key, ", ".join(str(item["name"]) for item in value)))
        else:
            rows.append((prefix + key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows


def _extras(summary: RunSummary, sections: Sequence[str]) -> tuple[list[tuple[str, str]], list[Records]]:
    """Returns the parts of the answer that are neither description nor label: as lines, and lists of records.

    Parts that the verdict tests by the same name, and those that a section of the page has as its title, are left out.
    """
    if summary.outcome is None:
        return [], []
    details = dict(summary.outcome.answer)
    if explanation := summary.outcome.explanation:
        details |= explanation.details
    # What the page says at its top already, under whatever name a task gives it, is not said again.
    description = summary.outcome.explanation.description if summary.outcome.explanation else ""
    tested = summary.verdict.details if summary.verdict else {}
    shown = {"description", "labels", "strengths", *tested, *map(str.casefold, sections)}
    rest = {key: value for key, value in details.items() if key not in shown and value != description}
    tables = {key: table for key, value in rest.items() if (table := _records(key, value))}
    lines = [(key, _cell(value, 4000)) for key, value in rest.items() if key not in tables]
    return lines, list(tables.values())


def _strengths(summary: RunSummary) -> list[tuple[str, float]]:
    """Returns the labels with how strongly each drives the unit, strongest first; nothing where none is stated."""
    explanation = summary.outcome.explanation if summary.outcome else None
    pairs = zip(explanation.labels, explanation.strengths, strict=False) if explanation else ()
    return sorted(pairs, key=lambda pair: -pair[1])


def _records(name: str, value: object) -> Records | None:
    """Returns a list of flat objects as a table, None for anything else."""
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) and row for row in value):
        return None
    columns = list(dict.fromkeys(column for row in value for column in row))
    flat = not any(isinstance(cell, list | dict) for row in value for cell in row.values())
    if not flat or len(columns) > MAX_FIELDS:
        return None
    rows = [[_cell(row[column], 1000) if column in row else "" for column in columns] for row in value[:MAX_RECORDS]]
    return Records(name, columns, rows, len(value) - len(rows))


def _cell(value: object, most: int) -> str:
    return value if isinstance(value, str) else brief(value, most)


def _section(section: object) -> tuple[str, str | HeatMap]:
    match section:
        case (title, HeatMap() as table):
            return str(title), table if table.is_complete else "The observer's table lacks cells, so it is not shown."
        case (title, text):
            return str(title), str(text)
    return "Section of an observer", str(section)


def _date(seconds: float) -> str:
    try:
        return time.strftime("%d %B %Y, %H:%M", time.localtime(seconds)).lstrip("0")
    except (OverflowError, ValueError, OSError):
        return "an unknown time"
