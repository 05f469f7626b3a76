"""Lays a run out as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import functools
import hashlib
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from maia_core.plugin import Observers, RecordError, RunReader, installed, write_atomically
from maia_report.answer import arguments_of, extras_of, flat, strengths_of
from maia_report.axis import axis_of, references
from maia_report.evidence import exemplars_of, lead_of, plot_of, stated_condition
from maia_report.maps import maps_of
from maia_report.pictures import Gallery
from maia_report.scatter import figures, scatter
from maia_report.sections import MAX_CHANGES, MAX_COLUMNS, MAX_PAIRS, MAX_ROWS, HeatMap, changes
from maia_report.summary import MAX_PROBES, RunSummary
from maia_report.text import brief, clean, duration, number, tick

MAX_STEPS = 200
"""More turns than this are counted, not shown."""

MAX_RESULTS = 120
"""More results of one program than this are counted, not shown."""

Section = tuple[str, str | HeatMap]
"""A title, and a text or a heat map."""


def render_run(folder: Path) -> str:
    """Returns the page of the run in a folder, with the sections that installed observers add.

    Raises:
        RecordError: the folder is not a run folder.
    """
    run = RunReader(folder)
    sections, problems = sections_of(run)
    return render(RunSummary(run), sections, problems)


def render(summary: RunSummary, sections: Sequence[Section] = (), problems: Sequence[str] = ()) -> str:
    """Returns the page of a run.

    Args:
        summary: The run.
        sections: Titles, and texts to append or heat maps to show among the evidence.
        problems: Lines to add to the notes.
    """
    shown = content(summary, sections, problems)
    pairs = [pair for change in shown["changes"][:MAX_CHANGES] for pair in change.pairs[:MAX_PAIRS]]
    images = [*summary.images(), *(image for pair in pairs for image in (pair.original, pair.edited))]
    gallery = Gallery(images, maps=shown["maps"])
    style, script = f"{resource('report.css')}\n{gallery.css}", resource("report.js").strip()
    page = environment().get_template("run.html.j2")
    return page.render(
        shown,
        layout="page.html.j2",
        gallery=gallery,
        style=Markup(style),
        script=Markup(script),
        style_hash=source_hash(style),
        script_hash=source_hash(script),
    )


def content(summary: RunSummary, sections: Sequence[Section] = (), problems: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the variables of the template `run.html.j2`, except `layout` and `gallery`, see `render`."""
    lines, records = extras_of(summary, [title for title, _ in sections])
    axis = axis_of(summary)
    return {
        "summary": summary,
        "run": summary.run,
        "manifest": summary.run.manifest,
        "outcome": summary.outcome,
        "explanation": summary.outcome.explanation if summary.outcome else None,
        "strengths": strengths_of(summary),
        "verdict": summary.verdict,
        "scatters": [s for p in (summary.verdict.predictions if summary.verdict else ()) if (s := scatter(p))],
        "ref": summary.run.manifest.system.ref or "a unit",
        "created": date(summary.run.manifest.created),
        "axis": axis,
        "references": references(summary, axis),
        "overview": plot_of(summary.all_conditions, axis),
        "stated": plot_of([stated_condition(evidence) for evidence in summary.evidence[:40]], axis),
        "plot_of": lambda step: plot_of(summary.conditions(step.logged), axis),
        "steps": summary.steps[:MAX_STEPS],
        "most_results": MAX_RESULTS,
        "most_probes": MAX_PROBES,
        "sections": [(title, text) for title, text in sections if isinstance(text, str)],
        "heat_maps": [(title, table) for title, table in sections if isinstance(table, HeatMap)],
        "changes": changes(summary.run),
        "most_changes": MAX_CHANGES,
        "most_pairs": MAX_PAIRS,
        "most_cells": (MAX_ROWS, MAX_COLUMNS),
        "notes": [*dict.fromkeys([*summary.notes, *problems])],
        "config": flat(summary.run.manifest.config),
        "answer": lines,
        "records": records,
        "lead": lead_of(summary),
        "exemplars": exemplars_of(summary),
        "maps": maps_of(summary.run.effects.facts),
        "arguments": lambda call: arguments_of(call, summary.run),
    }


def sections_of(run: RunReader) -> tuple[list[Section], list[str]]:
    """Returns the sections that installed observers add to the page of a run, and the problems that they have."""
    observers = Observers(installed())
    sections = [_section(section) for section in observers.tell("report_sections", run=run)]
    return sections, observers.take_problems()


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
def environment(*packages: str) -> jinja2.Environment:
    """Returns the templates of packages and of this one, with the filters of this page; they escape all text."""
    names = dict.fromkeys((*packages, "maia_report"))
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in names]),
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


@functools.lru_cache(maxsize=256)
def _python(program: str) -> Markup:
    """Highlights a program: one `span` a line, classes only, everything escaped by pygments."""
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers.python import PythonLexer

    lines = highlight(clean(program).rstrip(), PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).rstrip("\n")
    return Markup("\n").join(Markup('<span class="line">{}</span>').format(Markup(line)) for line in lines.split("\n"))


def _section(section: object) -> Section:
    match section:
        case (title, HeatMap() as table):
            return str(title), table if table.is_complete else "The observer's table lacks cells, so it is not shown."
        case (title, text):
            return str(title), str(text)
    return "Section of an observer", str(section)


def date(seconds: float) -> str:
    """Writes a time as a person would: `3 May 2026, 14:05`."""
    try:
        return time.strftime("%d %B %Y, %H:%M", time.localtime(seconds)).lstrip("0")
    except (OverflowError, ValueError, OSError):
        return "an unknown time"
