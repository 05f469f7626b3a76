"""Makes the web application of the pages."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maia_core.plugin import RunConfig
from maia_view import compare, evaluation_pages, images, live, note_pages, runs, unit_pages
from maia_view.links import STATIC, static_file, version
from maia_view.pages import View, message, templates
from maia_view.security import Guard

MODULES = (runs, live, compare, images, unit_pages, note_pages, evaluation_pages)
"""The modules of pages, each with its `ROUTES`."""


class ViewApp(Guard):
    """The application.

    Attributes:
        view: What its pages are made from.
    """

    def __init__(self, view: View, token: str, hosts: Sequence[str]) -> None:
        fixed = [Route("/static/{name}", _static), Route("/favicon.ico", _icon)]
        routes = [*fixed, *(route for module in MODULES for route in module.ROUTES)]
        pages = Starlette(routes=routes, exception_handlers={HTTPException: _failed, Exception: _broken})
        self.view = pages.state.view = view
        # Around everything, so that an answer to a fault has its headers too.
        super().__init__(pages, token, hosts)


def make_app(folders: Sequence[Path], *, token: str, hosts: Sequence[str], config: RunConfig | None = None) -> ViewApp:
    """Returns the application.

    Args:
        folders: Folders that hold runs, at any depth; nothing in them is trusted.
        token: A secret that the first address of a reader must hold.
        hosts: Every `host:port` under which the server may be asked, the one that is printed first.
        config: Chooses the data set of the exemplars and the similarity; the defaults where it is None.

    Raises:
        UsageError: a folder is missing, or there is nothing to show.
    """
    view = View.of(folders, config)
    threading.Thread(target=_prepare, args=(view,), daemon=True).start()
    return ViewApp(view, token, hosts)


def _prepare(view: View) -> None:
    """Does at once what the first reader would wait for: compiles the templates, reads what the list shows."""
    for template in (
        "runs.html.j2",
        "view_run.html.j2",
        "step.html.j2",
        "compare.html.j2",
        "atlas.html.j2",
        "unit.html.j2",
    ):
        templates().get_template(template)
    view.library.read_all()


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    # Without its version, as in a page that is written into a file, an address may be of any age.
    known = request.query_params.get("v") == version(name)
    age = "private, max-age=31536000, immutable" if known else "no-cache"
    return Response(static_file(name), media_type=STATIC[name], headers={"cache-control": age})


async def _icon(request: Request) -> Response:
    """Answers browsers that ask for it unasked, as beside an image that is shown alone."""
    return Response(static_file("icon.svg"), media_type=STATIC["icon.svg"])


async def _failed(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    titles = {404: "There is no such page", 405: "Pages can only be read here"}
    return message(request, titles.get(status, f"Error {status}"), "The list of runs leads to what there is.", status)


async def _broken(request: Request, error: Exception) -> Response:
    text = "It is a fault of this program, or a record that it does not understand. The terminal shows where."
    return message(request, "This page cannot be shown", text, 500)
