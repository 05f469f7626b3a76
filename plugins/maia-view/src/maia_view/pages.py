"""What all pages share: the templates, the libraries of runs, and the way from variables to a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from maia_report.page import date, environment
from maia_view.library import Library
from maia_view.links import PAGES, Links

MASKS = ("dark", "outline", "off")
"""Ways to draw masks, by their name in addresses; the first one is the default."""


@dataclass(frozen=True)
class View:
    """What the pages are made from.

    Attributes:
        library: The run folders.
        files: True where pages are written into files, see `maia_view.links`.
    """

    library: Library
    files: bool = False

    def page(self, template: str, place: str, shown: Mapping[str, Any], query: Mapping[str, str] | None = None) -> str:
        """Returns a page.

        Args:
            template: Name of the template.
            place: The page's place, see `maia_view.links`.
            shown: Variables of the template.
            query: The query of the page's address.
        """
        chosen = (query or {}).get("masks", "")
        every = {
            "layout": "base.html.j2",
            "links": Links(place, self.files),
            "pages": PAGES,
            "masks": chosen if chosen in MASKS else MASKS[0],
            "date": date,
            "live": "",
        }
        return environment("maia_view").get_template(template).render(every | dict(shown))


def view_of(request: Request) -> View:
    """Returns what the pages of a request are made from."""
    view: View = request.app.state.view
    return view


def message(request: Request, title: str, text: str, status: int) -> Response:
    """Returns a page that says what is wrong, and what to do."""
    place = request.url.path.lstrip("/")
    page = view_of(request).page("message.html.j2", place, {"title": title, "text": text})
    return HTMLResponse(page, status)
