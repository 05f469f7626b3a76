"""`maia eval report`: one page and the tables of an evaluation."""

from __future__ import annotations

import base64
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from markupsafe import Markup, escape

from maia_core.plugin import UsageError, printable, write_atomically
from maia_eval import metrics
from maia_eval.bias_results import bias_results, bias_rows
from maia_eval.forms import people
from maia_eval.metrics import Estimate
from maia_eval.plot import plot
from maia_eval.results import Folder
from maia_eval.set_choice import choice_rows
from maia_eval.summary import (
    COMPARED,
    FEW,
    FIGURES,
    TOO_FEW,
    differences,
    efforts,
    naming_rows,
    neuron_results,
    predictive_rows,
    preference_rows,
    published,
    unit_results,
    written,
)
from maia_eval.tables import TABLES, aligned, tables, write_tables

PAGE = "report.html"

UNDEFINED = (
    "–: no unit has this figure: its images, or the controls, have one activation, or none or all of them are active"
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the page to this file [default: DIR/report.html]; the tables go to DIR/tables.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Print errors only.")
def report(folder: Path, out: Path | None, quiet: bool) -> None:
    """Make a page and tables (CSV, Markdown, Parquet) of the evaluation in DIR, finished or not."""
    evaluation = Folder(folder)
    page = out or folder / PAGE
    found = tables(evaluation)
    if not any(name in found for name in ("scores", "named", "bias")):
        raise UsageError(f"nothing in {folder} has been scored yet; repeat its command to resume")
    try:
        write_tables(found, folder / TABLES)
        write_atomically(page, render(evaluation, page.parent).encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"cannot write the report: {error.strerror}: {error.filename}") from error
    if not quiet:
        for line in terminal(evaluation):
            click.echo(printable(line))
        click.echo(page)


def terminal(folder: Folder) -> list[str]:
    """Returns the table over all units for a terminal."""
    note = []
    if folder.manifest.kind == "predictive":
        rows = [
            row for row in predictive_rows(unit_results(folder), folder.explainers, folder.seed) if row.group == "all"
        ]
        keys = [figure for figure in FIGURES if not figure.key.endswith("_raw")][:11]
        note = [TOO_FEW] if any(row.units < FEW for row in rows) else []
        if any(not row.figures[figure.key].n for row in rows for figure in keys):
            note.append(UNDEFINED)
        lines = [["", "units", *(figure.title for figure in keys)]]
        lines += [
            [r.explainer, str(r.units), *(written(r.figures[f.key]._replace(low=math.nan)) for f in keys)] for r in rows
        ]
    elif folder.manifest.kind == "bias":
        shown = [
            (r, [r.named, r.only, r.false_alarms, r.wrong, r.sides, r.choices])
            for r in bias_rows(bias_results(folder), folder.explainers, folder.seed)
        ]
        titles = ["named", "nothing else", "false alarms", "wrong findings", "right side", "nearer to truth"]
        lines = [["", "", "models", *titles]]
        lines += [[r.explainer, r.group, str(r.models), *map(written, estimates)] for r, estimates in shown]
        return aligned(lines, left=2)
    else:
        named = naming_rows(neuron_results(folder), folder.explainers)
        lines = [["", "", "right", "near", "wrong", "no answer", "share right"]]
        lines += [[r.explainer, r.group, *map(str, r.counts.values()), written(r.right)] for r in named]
    return [*aligned(lines), *note]


def render(folder: Folder, base: Path) -> str:
    """Returns the page of an evaluation; links to runs are relative to the folder `base`."""
    style = (resources.files("maia_eval") / "templates" / "eval.css").read_text(encoding="utf-8")
    shown = content(folder, lambda run: _link(folder.path / run, base))
    page: str = (
        _environment()
        .get_template(f"{folder.manifest.kind}.html.j2")
        .render(
            shown,
            layout="base.html.j2",
            style=style,
            style_hash="'sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() + "'",
        )
    )
    return page


def content(
    folder: Folder, link: Callable[[str], str], units: Callable[[str, str, str], str] | None = None
) -> dict[str, Any]:
    """Returns the variables of the template of an evaluation's kind, except for `layout`.

    Args:
        folder: The evaluation.
        link: Returns the address of a run, given by its folder relative to the evaluation's.
        units: Returns the address of the units behind a figure, given by group, explainer and the figure's key (empty:
            all units of the row); None: figures lead nowhere.
    """
    explained = folder.explained()
    names = folder.explainers

    def to_units(text: object, row: Any, key: str = "") -> Markup:
        if units is None:
            return escape(text)
        return Markup('<a href="{}">{}</a>').format(units(row.group, row.explainer, key), text)

    shared: dict[str, Any] = {
        "folder": folder,
        "settings": folder.manifest.settings,
        "versions": folder.manifest.versions[-1],
        "changed": len(folder.manifest.versions) > 1,
        "created": time.strftime("%Y-%m-%d %H:%M", time.gmtime(folder.manifest.created)),
        "explainers": names,
        "explained": explained,
        "efforts": efforts(explained.values(), names),
        "published": published(),
        "choices": choice_rows(folder),
        "link": link,
        "to_units": to_units,
        "written": lambda estimate: _minus(written(estimate)),
        "best": _best,
        "figures": FIGURES,
    }
    if folder.manifest.kind == "predictive":
        results = unit_results(folder)
        scored = predictive_rows(results, names, folder.seed)
        shared |= {
            "results": results,
            "rows": scored,
            "plot": plot(scored, names),
            "differences": differences(results, names, folder.seed),
            "compared": [figure for figure in FIGURES if figure.key in COMPARED],
            "too_few": TOO_FEW if any(row.units < FEW for row in scored) else "",
            "lost": sum(len(result.dropped) for result in results),
            "asked": sum(len(result.dropped) + result.pool for result in results),
            "made": sum(result.made for result in results),
            "reused": sum(result.reused for result in results),
            "seconds": sum(result.seconds for result in results),
        }
    elif folder.manifest.kind == "bias":
        planted = bias_results(folder)
        shared |= {
            "results": planted,
            "rows": bias_rows(planted, names, folder.seed),
            "share": lambda counted: metrics.share(counted.hits, counted.of),
        }
    else:
        neurons = neuron_results(folder)
        shared |= {
            "results": neurons,
            "named": naming_rows(neurons, names),
            "preferred": [*preference_rows(neurons), *people(folder)],
        }
    return shared


def _best(rows: Sequence[Any], row: Any, key: str) -> bool:
    """Tells whether a row has the best mean of its group: the lowest for -, the highest for all others.

    Of few units none is.
    """
    values = [r.figures[key].value for r in rows if r.group == row.group and r.figures[key].n]
    own: Estimate = row.figures[key]
    wanted = (min if key.startswith("minus") or key == "minus_raw" else max)(values, default=None)
    return bool(own.n >= FEW and len(set(values)) > 1 and own.value == wanted)


def _link(run: Path, base: Path) -> str:
    """Returns a run's page, or its folder where there is none, relative to the page."""
    import os

    target = run / "report.html"
    return quote(os.path.relpath(target if os.path.isfile(target) else run, base).replace(os.sep, "/"))


def decimal(value: float, digits: int = 2) -> str:
    """Writes a figure with a true minus, as the templates do."""
    return _minus(f"{value:z.{digits}f}")


def _environment() -> Any:
    import jinja2

    def clean(value: Any) -> Any:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("maia_eval"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["decimal"] = decimal
    return environment


def _minus(number: str) -> str:
    return number.replace("-", "−")
