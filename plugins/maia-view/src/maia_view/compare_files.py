"""Runs side by side in files: what a script needs of each run to lay out any two to six of them on one page."""

from __future__ import annotations

import json
from typing import Any

from maia_report.answer import flat, strengths_of
from maia_report.evidence import Row
from maia_report.plot import drawable, scale, strip
from maia_view.compare import MAX_EXEMPLARS, MAX_TESTS, MAX_TURNS, MOST, Compared, Lane, unit_of
from maia_view.images import ServedGallery
from maia_view.library import RunFolder
from maia_view.links import Links
from maia_view.pages import View, templates

LETTER = "⁂"
"""Stands for the letter of a run, which depends on the runs beside it."""

MAX_ROWS = 120
"""Conditions of a run that are compared: those with the highest means."""


def page(view: View) -> str:
    """Returns the page that a script fills."""
    return view.page("compare_files.html.j2", "compare/", {"most": MOST})


def script(view: View, run: RunFolder) -> str:
    """Returns the script that brings one run to the page.

    Raises:
        RecordError: it is not a run folder any more, or is damaged.
    """
    summary, row = view.shelf.read(run).summary, view.library.row(run)
    gallery = ServedGallery(run.path, run.key, Links("compare/", True))
    compared = Compared(LETTER, row, summary, gallery, unit_of(summary))
    shown = view.variables("compare/")
    parts: Any = templates().get_template("compare_parts.html.j2").make_module(shown)
    rows: Any = templates().get_template("parts.html.j2").make_module(shown)
    exemplars = [(a, image, image.title) for a, image in summary.exemplars[:MAX_EXEMPLARS]]
    tests = summary.probes(summary.verdict) if summary.verdict else {}
    conditions = summary.all_conditions[:MAX_ROWS]
    axis = scale(value for condition in conditions for value in condition.activations)
    data = {
        "ref": row.ref,
        "label": row.label,
        "backbone": row.backbone,
        "unit": compared.unit,
        "axis": [axis.low, axis.high],
        "conditions": len(summary.all_conditions),
        "head": str(parts.head(compared, strengths_of(summary))),
        "exemplars": str(parts.lane(Lane(compared, exemplars), "e")) if exemplars else "",
        "tests": [
            [name, str(parts.lane(Lane(compared, [(p.activation, p.image, p.text or p.image.title)
             for p in probes[:MAX_EXEMPLARS]]), LETTER + name[:60]))]
            for name, probes in list(tests.items())[:MAX_TESTS]
        ],
        "rows": [
            {
                "title": condition.title,
                "exemplars": condition.exemplars,
                "mean": next(iter(drawable([condition.mean])), None),
                "html": str(rows.row(None, axis, [], Row(condition, strip(condition.activations, axis)), False)),
            }
            for condition in conditions
        ],
        "turns": [
            [step.kind, list(step.program.hypotheses[:8]) if step.program else []] for step in summary.steps[:MAX_TURNS]
        ],
        "facts": dict(flat(summary.run.manifest.config))
        | {f"version of {name}": text for name, text in summary.run.manifest.versions.items()},
    }  # fmt: skip
    return f"globalThis.maiaRun({json.dumps(row.key)}, {json.dumps(data)});\n"
