"""Evaluations: the list, the page of one, and the units behind a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from maia_core.plugin import MaiaError, one_line
from maia_eval.report import content
from maia_eval.results import Folder
from maia_view.evaluations import Evaluation, UnitLine, titles, unit_lines
from maia_view.links import Links
from maia_view.pages import View, message, view_of

MAX_LINES = 5000
"""Units and explainers that a page lists at most."""


def list_page(view: View) -> str:
    """Returns the page that lists all evaluations."""
    return view.page("evaluations.html.j2", "evaluations/", {"evaluations": view.evaluations.all()})


def evaluation_page(view: View, evaluation: Evaluation, folder: Folder) -> str:
    """Returns the page of an evaluation: that of `maia eval report`, with links from figures to units.

    Raises:
        UsageError: a file of the evaluation is damaged.
    """
    place = f"evaluations/{evaluation.key}/"
    links = Links(place, view.files)
    runs = view.evaluations.run_keys()

    def run_link(run: str) -> str:
        key = runs.get((evaluation.path / run).resolve())
        return links.run(key) if key else links.to("")

    def units_link(group: str, explainer: str, figure: str) -> str:
        return links.to(f"{place}units/", {"group": group, "explainer": explainer, "sort": figure})

    shown = content(folder, run_link, units_link) | {"layout": "evaluation.html.j2", "evaluation": evaluation}
    return view.page(f"{folder.manifest.kind}.html.j2", place, shown)


def units_page(view: View, evaluation: Evaluation, folder: Folder, query: Mapping[str, str]) -> str:
    """Returns the page of the units behind a figure; written into a file, it lists all.

    Raises:
        UsageError: a file of the evaluation is damaged.
    """
    place = f"evaluations/{evaluation.key}/units/"
    group, explainer, sort = (query.get(name, "")[:400] for name in ("group", "explainer", "sort"))
    lines = unit_lines(folder, group, explainer, view.evaluations.run_keys())
    every = list(lines[0].values) if lines else []
    columns = [name for name in every if any(line.values[name] not in (None, "") for line in lines)]
    if sort in columns:
        lines = _sorted(lines, sort)
    shown = {
        "evaluation": evaluation,
        "lines": lines[:MAX_LINES],
        "count": len(lines),
        "columns": columns,
        "titles": titles(folder),
        "group": group,
        "explainer": explainer,
        "sort": sort if sort in columns else "",
        "atlas": view.atlases.places(),
    }
    return view.page("evaluation_units.html.j2", place, shown)


def _sorted(lines: list[UnitLine], column: str) -> list[UnitLine]:
    """Returns lines by a column: figures from high to low, texts by the alphabet, missing ones last."""
    known = [line for line in lines if line.values[column] not in (None, "")]
    rest = [line for line in lines if line.values[column] in (None, "")]
    if all(isinstance(line.values[column], int | float) for line in known):
        return sorted(known, key=lambda line: -line.values[column]) + rest
    return sorted(known, key=lambda line: str(line.values[column]).casefold()) + rest


async def show_list(request: Request) -> Response:
    """Answers with the list of evaluations."""
    return HTMLResponse(await anyio.to_thread.run_sync(list_page, view_of(request)))


async def show_evaluation(request: Request) -> Response:
    """Answers with the page of an evaluation."""
    return await _answer(request, evaluation_page)


async def show_units(request: Request) -> Response:
    """Answers with the units behind a figure."""
    return await _answer(request, lambda view, each, folder: units_page(view, each, folder, request.query_params))


async def _answer(request: Request, page: Callable[[View, Evaluation, Folder], str]) -> Response:
    view = view_of(request)

    def found() -> Response:
        evaluation = view.evaluations.find(request.path_params["key"])
        if evaluation is None:
            text = "It was moved or removed. The list shows the evaluations that are there."
            return message(request, "This evaluation is gone", text, 404)
        try:
            # Opened again: units and explainers may have joined it.
            return HTMLResponse(page(view, evaluation, Folder(evaluation.path)))
        except MaiaError as error:
            return message(request, "This evaluation cannot be shown", f"{one_line(error)}.", 422)

    return await anyio.to_thread.run_sync(found)


ROUTES = [
    Route("/evaluations/", show_list),
    Route("/evaluations/{key}/", show_evaluation),
    Route("/evaluations/{key}/units/", show_units),
]
