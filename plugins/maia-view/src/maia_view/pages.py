"""What all pages share: the templates, the libraries of runs, and the way from variables to a page."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from maia_core.plugin import RunConfig, UsageError
from maia_eval.report import decimal
from maia_report.page import date, environment
from maia_view.atlas import Atlases
from maia_view.evaluations import Evaluations
from maia_view.exemplars import Exemplars
from maia_view.library import Library
from maia_view.links import PAGES, Links
from maia_view.meaning import Meanings
from maia_view.reading import Shelf

MASKS = ("dark", "outline", "off")
"""Ways to draw masks, by their name in addresses; the first one is the default."""

PIECES = 2000
"""Pieces of a template that are sent together: some sixty units of an atlas."""


@dataclass
class View:
    """What the pages are made from.

    Attributes:
        library: The run folders.
        atlases: The layers whose units can be browsed.
        exemplars: Finds the exemplars of units.
        meanings: Searches by meaning.
        evaluations: The evaluations.
        files: True where pages are written into files, see `maia_view.links`.
        shelf: The runs that were read last.
        followers: How many pages follow a run.
        secret: What a form that changes something must hold.
        is_stopping: Tells whether the server stops.
    """

    library: Library
    atlases: Atlases
    exemplars: Exemplars
    meanings: Meanings
    evaluations: Evaluations
    files: bool = False
    shelf: Shelf = field(default_factory=Shelf)
    followers: int = 0
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    is_stopping: Callable[[], bool] = lambda: False

    @classmethod
    def of(cls, folders: Sequence[Path], config: RunConfig | None = None, *, files: bool = False) -> View:
        """Opens folders.

        Args:
            folders: Folders that hold runs, indexes of exemplars or evaluations; nothing in them is trusted.
            config: Chooses the data set of the exemplars and the similarity; the defaults where it is None.
            files: Whether pages are written into files.

        Raises:
            UsageError: a folder is missing, or there is nothing to show in them.
        """
        library = Library(folders)
        exemplars = Exemplars(library, config)
        # Files of a whole layer take minutes, so an index that nobody named serves the units of the runs.
        atlases = Atlases(library, folders, whole=not files)
        view = cls(library, atlases, exemplars, Meanings(exemplars), Evaluations(library), files)
        if not (library.runs() or view.atlases.all() or view.evaluations.all()):
            if unreadable := next(iter(library.unreadable.items()), None):
                raise UsageError(
                    f"cannot show {unreadable[0]}: {unreadable[1]}; give yourself the right to read the folder"
                )
            named = ", ".join(map(str, folders))
            raise UsageError(
                f"there is no run, index of exemplars or evaluation in {named}; make a run with `maia run`, or name "
                "another folder"
            )
        return view

    def page(self, template: str, place: str, shown: Mapping[str, Any], query: Mapping[str, str] | None = None) -> str:
        """Returns a page.

        Args:
            template: Name of the template.
            place: The page's place, see `maia_view.links`.
            shown: Variables of the template.
            query: The query of the page's address.
        """
        return "".join(self.parts(template, place, shown, query))

    def parts(
        self, template: str, place: str, shown: Mapping[str, Any], query: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """Returns the parts of a page, as `page` does: a browser shows the first ones while the others are made."""
        stream = templates().get_template(template).stream(self.variables(place, query) | dict(shown))
        stream.enable_buffering(PIECES)
        return stream

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


@cache
def templates() -> jinja2.Environment:
    """Returns the templates of the pages: those of this package, of reports and of evaluations."""
    made = environment("maia_view", "maia_eval")
    made.filters["decimal"] = decimal
    return made


def view_of(request: Request) -> View:
    """Returns what the pages of a request are made from."""
    view: View = request.app.state.view
    return view


def message(request: Request, title: str, text: str, status: int) -> Response:
    """Returns a page that says what is wrong, and what to do."""
    place = request.url.path.lstrip("/")
    page = view_of(request).page("message.html.j2", place, {"title": title, "text": text})
    return HTMLResponse(page, status)
