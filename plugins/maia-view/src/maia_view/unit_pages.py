"""The atlas: the list of layers, all units of one as a grid, one unit, and the pictures of its exemplars."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from maia_core.plugin import Image, MaiaError, one_line
from maia_report.masks import DRAWINGS, is_inactive
from maia_report.pictures import Picture
from maia_report.plot import scale
from maia_view import similar
from maia_view.atlas import Atlas
from maia_view.exemplars import Shown
from maia_view.images import FOREVER
from maia_view.links import Links
from maia_view.listing import choices, pages_for
from maia_view.pages import View, message, view_of
from maia_view.pictures import KINDS, SHEET_SIZE, picture, sheet, versions
from maia_view.tables import as_csv, as_parquet
from maia_view.units import FILTERS, PER_PAGE, SORTS, UnitRow, UnitSelection

MAX_SIMILAR = 8
"""Similar units of a kind that a unit's page shows."""

_SHEET = re.compile(r"(?P<unit>[A-Za-z0-9_-]{1,80})\.(?P<version>[0-9a-f]{8})\.(?P<masks>dark|outline|off)\.webp")
_PICTURE = re.compile(r"(?P<rank>[0-9]{1,3})-[0-9a-f]{8}\.(?P<kind>thumb|full|dark|outline|map)\.(?:png|webp)")


class UnitGallery:
    """The pictures of one unit's exemplars."""

    def __init__(self, shown: Sequence[Shown], base: str) -> None:
        """Keeps addresses.

        Args:
            shown: The exemplars.
            base: Address of the unit's page, relative to the page that shows them.
        """
        self._shown = {each.image.id: (rank, each) for rank, each in enumerate(shown)}
        self._base = base

    def __getitem__(self, image: Image) -> Picture:
        """Returns how an image is shown."""
        rank, shown = self._shown[image.id]
        result = Picture(
            thumbnail=self._base + picture_name(rank, image, "thumb"),
            full=self._base + picture_name(rank, image, "full"),
        )
        result.inactive = is_inactive(image)
        if image.clean is not None and not result.inactive:
            result.masks = {name: self._base + picture_name(rank, image, name) for name in DRAWINGS}
        if shown.map is not None:
            result.masks["map"] = self._base + picture_name(rank, image, "map")
        return result


def picture_name(rank: int, image: Image, kind: str) -> str:
    """Returns the name of a picture of one exemplar: it changes with the image."""
    return f"{rank}-{image.id[:8]}.{kind}.{'webp' if kind == 'thumb' else 'png'}"


def sheet_names(view: View, atlas: Atlas) -> Callable[[UnitRow, str], str]:
    """Returns what gives the name of a unit's sheet, drawn with some masks: it changes with its exemplars."""
    version = versions(view.exemplars, atlas)
    return lambda row, masks: f"{row.key}.{version(row)}.{masks}.webp"


@dataclass(frozen=True)
class Found:
    """The units that an address asks for.

    Attributes:
        rows: The units, in order.
        note: What the reader must know of the search; empty if nothing.
        progress: Percent of a search that goes on; None of one that is done.
    """

    rows: Sequence[UnitRow]
    note: str = ""
    progress: int | None = None


def found_in(view: View, atlas: Atlas, selection: UnitSelection) -> Found:
    """Returns the units of an atlas that an address asks for."""
    if not selection.words or selection.by == "words":
        return Found(selection.select(atlas.rows))
    if selection.by == "labels":
        try:
            return Found(selection.select(atlas.rows, view.meanings.in_labels(atlas.rows, selection.words)))
        except MaiaError as error:
            return Found(selection.select(atlas.rows, {}), one_line(error))
    search = view.meanings.in_images(atlas, selection.words)
    if search.problem:
        return Found(selection.select(atlas.rows, {}), f"The exemplars cannot be searched: {search.problem}.")
    if search.scores is None:
        return Found((), progress=min(99, 100 * search.done // search.total))
    return Found(selection.select(atlas.rows, search.scores))


def list_page(view: View) -> str:
    """Returns the page that lists all layers."""
    links = Links("atlas/", view.files)
    atlases = view.atlases.all()
    covers = {
        atlas.key: [
            f"{links.root}atlas/{atlas.key}/sheets/{sheet_names(view, atlas)(row, 'off')}" for row in _covers(atlas)
        ]
        for atlas in atlases
    }
    return view.page("atlases.html.j2", "atlas/", {"atlases": atlases, "covers": covers, "size": SHEET_SIZE})


def _covers(atlas: Atlas) -> list[UnitRow]:
    """Returns the units that stand for an atlas in the list: labelled ones, if there are some."""
    return [row for row in atlas.rows if row.label][:2] or list(atlas.rows[:2])


def atlas_page(view: View, atlas: Atlas, query: Mapping[str, str]) -> Iterator[str]:
    """Returns the parts of the page of a layer; written into a file, it shows all units."""
    selection = UnitSelection.of(query)
    found = found_in(view, atlas, selection)
    last_page = 1 if view.files else pages_for(len(found.rows), PER_PAGE)
    selection = replace(selection, page=min(selection.page, last_page))
    rows = found.rows if view.files else found.rows[PER_PAGE * (selection.page - 1) :][:PER_PAGE]
    shown = {
        "atlas": atlas,
        "selection": selection,
        "rows": rows,
        "count": len(found.rows),
        "note": found.note,
        "progress": found.progress,
        "last_page": last_page,
        # With all units on the page, the script filters and sorts them without asking the server.
        "is_whole": len(rows) == len(atlas.rows),
        "choices": choices(atlas.rows, FILTERS),
        "sorts": {name: title for name, (title, _) in SORTS.items()},
        "problem": view.exemplars.problem(atlas),
        "sheet": sheet_names(view, atlas),
        "size": SHEET_SIZE,
        "by_labels": view.meanings.has_labels and atlas.labelled > 0,
        # In files the script writes the table of the units that are shown from these.
        "csv_lines": lambda rows: as_csv(rows).decode().split("\r\n", 1),
        "has_parquet": find_spec("pyarrow") is not None,
    }
    return view.parts("atlas.html.j2", f"atlas/{atlas.key}/", shown, query)


def unit_page(view: View, atlas: Atlas, row: UnitRow, query: Mapping[str, str]) -> str:
    """Returns the page of a unit.

    Raises:
        MaiaError: the index of its layer is damaged.
    """
    shown = view.exemplars.of(atlas, row)
    unit = atlas.index.unit(row.number) if atlas.index is not None and row.number is not None else None
    place = atlas.rows.index(row)
    content = {
        "atlas": atlas,
        "row": row,
        "shown": shown,
        "gallery": UnitGallery(shown, ""),
        "axis": scale([0.0, *(each.activation for each in shown)]),
        "statistics": unit.statistics(0.99) if unit is not None else None,
        "before": atlas.rows[place - 1] if place else None,
        "after": atlas.rows[place + 1] if place + 1 < len(atlas.rows) else None,
        "similar": similar_units(view, atlas, row),
        "sheet": sheet_names(view, atlas),
        "size": SHEET_SIZE,
        "problem": view.exemplars.problem(atlas),
        "has_map": any(each.map is not None for each in shown),
    }
    return view.page("unit.html.j2", f"atlas/{atlas.key}/{row.key}/", content, query)


def similar_units(view: View, atlas: Atlas, row: UnitRow) -> list[tuple[str, str, list[tuple[UnitRow, float]]]]:
    """Returns the units that are like one: by what, in which figure, and the units with their score."""
    found: list[tuple[str, str, list[tuple[UnitRow, float]]]] = []
    if atlas.index is not None and row.number is not None:
        known = {each.number: each for each in atlas.rows}
        for title, figure, score in (
            ("Same exemplars", "share of its exemplars", similar.by_exemplars),
            ("Same response", "correlation over the sample of the data set", similar.by_activation),
        ):
            units = score(atlas.index, row.number, MAX_SIMILAR)
            found.append((title, figure, [(known[number], value) for number, value in units if number in known]))
    if row.label and view.meanings.has_labels:
        labelled = [each for each in atlas.rows if each.label]
        vectors = view.meanings.vectors([each.label for each in labelled])
        alike = similar.by_label(labelled, vectors, labelled.index(row), MAX_SIMILAR)
        found.append(("Labels of like meaning", "cosine of their embeddings", alike))
    return [each for each in found if each[2]]


# --- routes ---


async def show_list(request: Request) -> Response:
    """Answers with the list of layers."""
    return HTMLResponse(await anyio.to_thread.run_sync(list_page, view_of(request)))


async def show_atlas(request: Request) -> Response:
    """Answers with the units of a layer."""
    return await _answer(
        request,
        lambda view, atlas: StreamingResponse(atlas_page(view, atlas, request.query_params), media_type="text/html"),
    )


async def show_unit(request: Request) -> Response:
    """Answers with one unit."""

    def answer(view: View, atlas: Atlas) -> Response:
        row = atlas.by_key.get(request.path_params["unit"])
        return _gone(request) if row is None else HTMLResponse(unit_page(view, atlas, row, request.query_params))

    return await _answer(request, answer)


async def show_table(request: Request) -> Response:
    """Answers with the units that the address asks for as a file."""

    def answer(view: View, atlas: Atlas) -> Response:
        rows = found_in(view, atlas, UnitSelection.of(request.query_params)).rows
        csv = request.url.path.endswith(".csv")
        data = as_csv(rows) if csv else as_parquet(rows)
        name = f"{atlas.key}.{'csv' if csv else 'parquet'}"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type="text/csv" if csv else "application/vnd.apache.parquet", headers=headers)

    return await _answer(request, answer)


async def show_sheet(request: Request) -> Response:
    """Answers with the first exemplars of a unit as one picture."""

    def answer(view: View, atlas: Atlas) -> Response:
        name = _SHEET.fullmatch(request.path_params["name"])
        row = atlas.by_key.get(name["unit"]) if name else None
        if name is None or row is None:
            return Response("there is no such picture", 404, media_type="text/plain")
        data = sheet(view.exemplars, atlas, row, name["masks"])
        return Response(data, media_type="image/webp", headers={"cache-control": FOREVER})

    return await _answer(request, answer)


async def show_picture(request: Request) -> Response:
    """Answers with one exemplar of a unit."""

    def answer(view: View, atlas: Atlas) -> Response:
        name = _PICTURE.fullmatch(request.path_params["name"])
        row = atlas.by_key.get(request.path_params["unit"])
        shown = view.exemplars.of(atlas, row) if name and row else []
        rank = int(name["rank"]) if name else 0
        data = picture(shown[rank], name["kind"]) if name and rank < len(shown) and name["kind"] in KINDS else None
        if data is None or name is None:
            return Response("there is no such picture", 404, media_type="text/plain")
        media = "image/webp" if name["kind"] == "thumb" else "image/png"
        return Response(data, media_type=media, headers={"cache-control": FOREVER})

    return await _answer(request, answer)


async def _answer(request: Request, answer: Any) -> Response:
    view = view_of(request)

    def found() -> Response:
        atlas = view.atlases.find(request.path_params["key"])
        if atlas is None:
            return _gone(request)
        try:
            result: Response = answer(view, atlas)
            return result
        except MaiaError as error:
            return message(request, "This layer cannot be shown", f"{one_line(error)}.", 422)

    return await anyio.to_thread.run_sync(found)


def _gone(request: Request) -> Response:
    text = "The index or its runs were moved or removed. The atlas shows the layers that are there."
    title = "There is no such unit" if "unit" in request.path_params else "There is no such layer"
    return message(request, title, text, 404)


ROUTES = [
    Route("/atlas/", show_list),
    Route("/atlas/{key}/", show_atlas),
    *(Route(f"/atlas/{{key}}/units.{form}", show_table) for form in ("csv", "parquet")),
    Route("/atlas/{key}/sheets/{name}", show_sheet),
    Route("/atlas/{key}/{unit}/", show_unit),
    Route("/atlas/{key}/{unit}/{name}", show_picture),
]
