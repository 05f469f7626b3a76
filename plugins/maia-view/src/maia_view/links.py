"""Addresses of pages, images and static files, relative to the page that holds them.

A place is the address of a page below the root: "" for the list of runs, "runs/KEY/" for a run. It ends in a slash, so
that the same links lead from page to page on the server and, with `files`, from file to file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from urllib.parse import quote, urlencode

Query = Mapping[str, str | int | Iterable[str]]

PAGES = (("Runs", ""), ("Compare", "compare/"), ("Atlas", "atlas/"), ("Evaluations", "evaluations/"))
"""Title and place of the pages that every page leads to."""

STATIC = {
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("view.css", "atlas.css", "eval.css"), "text/css"),
    **dict.fromkeys(("view.js", "atlas.js", "units.js", "files.js", "compare.js"), "text/javascript"),
}
"""Static files, and their types."""


@cache
def static_file(name: str) -> bytes:
    """Returns a static file; style and script begin with those of a report, which the pages share.

    The style of evaluations is that of their own report, within the element that holds one.
    """
    if name == "eval.css":
        style = (resources.files("maia_eval") / "templates" / name).read_bytes()
        return (
            b":root" + style.partition(b":root")[2].partition(b"\n*")[0] + b"\n.evaluation {\n" + _rules(style) + b"}\n"
        )
    shared = {"view.css": "report.css", "view.js": "report.js"}.get(name)
    own = (resources.files("maia_view") / "static" / name).read_bytes()
    return ((resources.files("maia_report") / "templates" / shared).read_bytes() + b"\n" if shared else b"") + own


def _rules(style: bytes) -> bytes:
    """Returns what follows the variables of a style."""
    return b"*" + style.partition(b"\n*")[2]


@cache
def version(name: str) -> str:
    """Returns a hash of a static file: its address changes when it changes."""
    return sha256(static_file(name)).hexdigest()[:12]


@dataclass(frozen=True)
class Links:
    """The addresses that one page leads to.

    Attributes:
        place: The place of the page.
        files: True for a page that is a file: a place then is a folder with an `index.html`, and nothing is asked of a
            server.
    """

    place: str = ""
    files: bool = False

    @property
    def root(self) -> str:
        """The relative address of the root."""
        return "../" * self.place.count("/") or "./"

    def to(self, place: str, query: Query | None = None) -> str:
        """Returns the address of a page; a query of a page that is a file stands behind a `#`."""
        page = self.root + quote(place) + ("index.html" if self.files else "")
        pairs = [(key, value) for key, value in (query or {}).items() if value not in ("", None)]
        text = urlencode(pairs, doseq=True)
        return f"{page}{'#' if self.files else '?'}{text}" if text else page

    def run(self, key: str, query: Query | None = None) -> str:
        """Returns the address of a run's page; in files, a later part of a long run is a page of its own."""
        if self.files and query and set(query) == {"turn"}:
            return self.to(f"runs/{key}/turn-{query['turn']}/")
        return self.to(f"runs/{key}/", query)

    def static(self, name: str) -> str:
        """Returns the address of a static file."""
        return f"{self.root}static/{name}" + ("" if self.files else f"?v={version(name)}")

    def image(self, key: str, image: str, kind: str) -> str:
        """Returns the address of an image of a run, see `maia_view.images`.

        Args:
            key: The run.
            image: The image's id.
            kind: `full`, `thumb`, `dark`, `outline` or `map`.
        """
        return f"{self.root}images/{key}/{image}.{kind}.{'webp' if kind == 'thumb' else 'png'}"
