"""What all pages share: the templates, the libraries of runs, and the way from variables to a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from maia_report.page import date, environment
from maia_view.library import Library
from maia_view.links import PAGES, Links
from maia_view.reading import Shelf

MASKS = ("dark", "outline", "off")
"""Ways to draw masks, by their name in addresses; the first one is the default."""


@dataclass
class View:
    """What the pages are made from.

    Attributes:
        library: The run folders.
        files: True where pages are written into files, see `maia_view.links`.
        shelf: The runs that were read last.
        followers: How many pages follow a run.
    """

    library: Library
    files: bool = False
    shelf: Shelf = field(default_factory=Shelf)
    followers: int = 0

    def page(self, template: str, place: str, shown: Mapping[str, Any], query: Mapping[str, str] | None = None) -> str:
        """Returns a page.

        Args:
            template: Name of the template.
            place: The page's place, see `maia_view.links`.
            shown: Variables of the template.
            query: The query of the page's address.
        """
        every = self.variables(place, query) | dict(shown)
        return environment("maia_view").get_template(template).render(every)

    def variables(self, place: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Returns the variables that every template may use."""
        chosen = (query or {}).get("masks", "")
        return {
            "layout": "base.html.j2",
            "links": Links(place, self.files),
            "pages": PAGES,
            "masks": chosen if chosen in MASKS else MASKS[0],
            "date": date,
            "live": "",
        }


def view_of(request: Request) -> View:
    """Returns what the pages of a request are made from."""
    view: View = request.app.state.view
    return view


def message(request: Request, title: str, text: str, status: int) -> Response:
    """Returns a page that says what is wrong, and what to do."""
    place = request.url.path.lstrip("/")
    page = view_of(request).page("message.html.j2", place, {"title": title, "text": text})
    return HTMLResponse(page, status)
