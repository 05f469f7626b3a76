"""The list of runs, and the page of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from maia_core.plugin import MaiaError, one_line
from maia_view.images import ServedGallery
from maia_view.library import RunFolder
from maia_view.links import Links
from maia_view.listing import FILTERS, PER_PAGE, SORTS, Selection, choices, pages_for
from maia_view.notes import read_note
from maia_view.pages import View, message, view_of
from maia_view.reading import NEWEST, Part
from maia_view.rows import RunRow

PATIENCE = 1.0
"""Seconds after which a search shows its progress; the next request resumes it."""


def list_page(view: View, query: Mapping[str, str]) -> str:
    """Returns the page of the list of runs; without filter and sort, only the runs on it are read."""
    selection = Selection.of(query)
    library = view.library
    folders = library.runs()
    found: list[RunRow] | None = None
    every: list[RunRow] | None = None
    if selection.takes_all or len(folders) <= PER_PAGE or view.files:
        every = library.rows_within(folders, inf if view.files else PATIENCE)
        found = selection.select(every)
        count, known = len(found), choices(every, FILTERS)
    else:
        count, known = len(folders), choices(library.known_rows(), FILTERS)
    last_page = 1 if view.files else pages_for(count, PER_PAGE)
    selection = replace(selection, page=min(selection.page, last_page))
    part = slice(None) if view.files else slice(PER_PAGE * (selection.page - 1), PER_PAGE * selection.page)
    rows = [library.row(run) for run in folders[part]] if found is None else found[part]
    paths = {run.key: run.path for run in folders}
    shown = {
        "selection": selection,
        "rows": rows,
        "count": count,
        "total": len(folders),
        # A search shows what it has found in the runs that were read, until all are.
        "read": len(folders) if every is None else len(every),
        "last_page": last_page,
        "choices": known,
        "filters": FILTERS,
        "sorts": SORTS,
        "unreadable": [] if view.files else list(library.unreadable.items()),
        "folders": [folder.name if view.files else str(folder) for folder in library.folders],
        "marks": {row.key: mark for row in rows if (mark := read_note(paths[row.key]).mark)},
        "running": sum(row.status == "running" for row in rows),
    }
    return view.page("runs.html.j2", "", shown, query)


def run_page(view: View, run: RunFolder, query: Mapping[str, str]) -> str:
    """Returns the page of a run, or of a part of a long one.

    Raises:
        RecordError: the folder is not a run folder any more, or is damaged.
    """
    row = view.library.row(run)
    turn = query.get("turn", "")
    usual = NEWEST if row.status == "running" else 1
    first = int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 7 else usual
    part = view.shelf.read(run, first)
    place = f"runs/{run.key}/" + (f"turn-{first}/" if view.files and 1 < first < NEWEST else "")
    follows = row.status == "running" and part.later is None and not view.files
    shown = run_content(view, run, part, place) | {
        "part": part,
        "row": row,
        "note": read_note(run.path),
        "secret": view.secret,
        "in_atlas": view.atlases.places().get(row.key),
        "running": row.status == "running",
        "live": f"live?after={part.summary.run.end}" if follows else "",
    }
    return view.page("view_run.html.j2", place, shown, query)


def run_content(view: View, run: RunFolder, part: Part, place: str) -> dict[str, Any]:
    """Returns the variables of the templates that show a run."""
    return part.content | {"gallery": ServedGallery(run.path, run.key, Links(place, view.files), part.content["maps"])}


async def show_list(request: Request) -> Response:
    """Answers with the list of runs."""
    page = await anyio.to_thread.run_sync(list_page, view_of(request), request.query_params)
    return HTMLResponse(page)


async def show_run(request: Request) -> Response:
    """Answers with the page of a run."""
    view = view_of(request)
    run = view.library.find(request.path_params["key"])
    try:
        if run is not None:
            return HTMLResponse(await anyio.to_thread.run_sync(run_page, view, run, request.query_params))
    except MaiaError as error:
        if run is not None and not run.is_gone:
            return message(request, "This run cannot be shown", f"{one_line(error)}.", 422)
    text = "It was moved or removed since the list was made. The list shows the runs that are there."
    return message(request, "This run is gone", text, 404)


ROUTES = [Route("/", show_list), Route("/runs/{key}/", show_run)]
