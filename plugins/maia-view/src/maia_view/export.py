"""Writes the pages of a viewer into files that open from the file system and from any web server."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image as PILImage

from maia_core.plugin import MaiaError, RunConfig, UsageError, cache_dir, content_id, one_line
from maia_eval.results import Folder
from maia_view import compare_files, evaluation_pages, runs, unit_pages
from maia_view.atlas import Atlas
from maia_view.evaluations import Evaluation
from maia_view.exemplars import Shown
from maia_view.images import SIDE, drawn, of_run
from maia_view.library import RunFolder
from maia_view.links import STATIC, Links, static_file
from maia_view.note_pages import labels_file
from maia_view.notes import read_note
from maia_view.pages import MASKS, View
from maia_view.pictures import picture, sheet
from maia_view.rows import RunRow
from maia_view.shortening import Shortener
from maia_view.site_files import SiteFiles
from maia_view.tables import as_csv, as_parquet

QUALITY = 90
"""Of the WebP pictures, those in full size too."""

WORKERS = 4
"""Pictures that are made at the same time."""

MISSING = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><path d="M2 2l6 6M8 2l-6 6" stroke="#888"/></svg>'
)
"""Stands for a picture that is missing from a record, or damaged."""

_END = r'\.(?:png|webp)(?=\\?")'
_OF_RUN = re.compile(
    r'(?<=")(?:\./|(?:\.\./)+)images/(?P<key>[a-z0-9-]{1,60})/(?P<id>[0-9a-f]{32})\.(?P<kind>full|thumb|dark|outline|map)'
    + _END
)
_OF_UNIT = re.compile(r'(?<=")(?P<rank>[0-9]{1,3})-[0-9a-f]{8}\.(?P<kind>thumb|full|dark|outline|map)' + _END)

Draw = Callable[[re.Match[str]], bytes | None]


@dataclass
class Exported:
    """What an export has written.

    Attributes:
        pages: Number of pages.
        pictures: Number of pictures.
        bytes: Size of all files.
        problems: Lines about what could not be shown.
    """

    pages: int = 0
    pictures: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def export(folders: Sequence[Path], out: Path, config: RunConfig | None = None) -> Exported:
    """Writes pages of everything below some folders.

    Args:
        folders: Folders that hold runs, indexes of exemplars or evaluations; nothing in them is trusted.
        out: Folder to write into: new, empty, or an earlier export, whose files are replaced or deleted.
        config: Chooses the data set of the exemplars; the defaults where it is None.

    Raises:
        UsageError: a folder is missing, there is nothing to show, or `out` holds something else or cannot be written.
    """
    view = View.of(folders, config, files=True)
    try:
        files = SiteFiles(out)
        site = _Site(view, files, folders)
        try:
            site.write_all()
        finally:
            files.write_list()
        files.delete_others()
    except OSError as error:
        raise UsageError(f"cannot export to {out}: {error.strerror}; make room or choose another folder") from error
    site.exported.bytes = files.bytes
    return site.exported


class _Site:
    """Writes the files of one export."""

    def __init__(self, view: View, files: SiteFiles, folders: Sequence[Path]) -> None:
        self.exported = Exported()
        self._view = view
        self._files = files
        self._shortened = Shortener()
        for folder in (*view.library.folders, *map(Path.absolute, folders), Path.home(), Path.cwd(), cache_dir()):
            self._shortened.add_folder(folder)
        self._shortened.add(view.exemplars.config.model_dump(mode="json"))
        self._names: dict[tuple[str, ...], str] = {}
        self._pool = ThreadPoolExecutor(WORKERS)

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, by its name in the export."""
        self._files.write(name, data)

    def write_text(self, name: str, text: str) -> None:
        """Writes a file without the folders of this machine."""
        self.write(name, self._shortened(text).encode("utf-8", "replace"))

    def write_all(self) -> None:
        """Writes everything."""
        view = self._view
        for name in STATIC:
            self.write(f"static/{name}", static_file(name))
        rows = [view.library.row(run) for run in view.library.runs()]
        self._shortened.add([(row.model, row.layer, row.unit) for row in rows])
        for row in rows:
            self._run(row)
        self.write_text("runs.js", f"globalThis.maiaRuns = {_json([_indexed(row) for row in rows])};\n")
        self._page("", runs.list_page(view, {}))
        self._page("compare/", compare_files.page(view))
        self._page("atlas/", unit_pages.list_page(view))
        for atlas in view.atlases.all():
            self._atlas(atlas)
        self._page("evaluations/", evaluation_pages.list_page(view))
        for evaluation in view.evaluations.all():
            if evaluation.folder is not None:
                self._evaluation(evaluation, evaluation.folder)
        if any(read_note(run.path).changed for run in view.library.runs()):
            self.write_text("labels.json", labels_file(view).decode())

    def _run(self, row: RunRow) -> None:
        view = self._view
        run = view.library.find(row.key)
        try:
            if run is None:
                raise UsageError("it was removed")
            self._shortened.add(view.shelf.read(run).summary.run.manifest.model_dump(mode="json"))
            turn: int | None = 1
            while turn is not None:
                place = f"runs/{row.key}/" + (f"turn-{turn}/" if turn > 1 else "")
                self._page(place, runs.run_page(view, run, {"turn": str(turn)}))
                turn = view.shelf.read(run, turn).later
            script = compare_files.script(view, run)
            self.write_text(f"compare/{row.key}.js", self._with_pictures("compare/", script))
        except MaiaError as error:
            text = f"{one_line(error)}."
            if run is not None:
                text = text.replace(str(run.path), row.name)
            self.exported.problems.append(f"{row.name}: {text}")
            place = f"runs/{row.key}/"
            self._page(place, view.page("message.html.j2", place, {"title": "This run cannot be shown", "text": text}))

    def _atlas(self, atlas: Atlas) -> None:
        view, place = self._view, f"atlas/{atlas.key}/"
        if atlas.index is not None:
            self._shortened.add_folder(atlas.index.folder)
        self._page(place, "".join(unit_pages.atlas_page(view, atlas, {})))
        self.write_text(f"{place}units.csv", as_csv(atlas.rows).decode())
        try:
            self.write(
                f"{place}units.parquet",
                as_parquet([replace(row, model=self._shortened(row.model)) for row in atlas.rows]),
            )
        except MaiaError as error:
            self.exported.problems.append(one_line(error))

        name_of = unit_pages.sheet_names(view, atlas)

        def draw(task: tuple[str, str]) -> tuple[str, bytes]:
            row = atlas.by_key[task[0]]
            return name_of(row, task[1]), sheet(view.exemplars, atlas, row, task[1])

        for name, data in self._pool.map(draw, [(row.key, masks) for row in atlas.rows for masks in MASKS]):
            self.write(f"{place}sheets/{name}", data)
            self.exported.pictures += 1
        for row in atlas.rows:
            page = unit_pages.unit_page(view, atlas, row, {})
            shown = view.exemplars.of(atlas, row)
            address = f"{place}{row.key}/"

            def draw_one(found: re.Match[str], shown: Sequence[Shown] = shown) -> bytes | None:
                return _of_unit(shown, int(found["rank"]), found["kind"])

            page = self._replaced(page, _OF_UNIT, address, draw_one, (atlas.key, row.key))
            self._page(address, page)

    def _evaluation(self, evaluation: Evaluation, folder: Folder) -> None:
        place = f"evaluations/{evaluation.key}/"
        self._shortened.add(folder.manifest.model_dump(mode="json"))
        try:
            self._page(place, evaluation_pages.evaluation_page(self._view, evaluation, folder))
            self._page(f"{place}units/", evaluation_pages.units_page(self._view, evaluation, folder, {}))
        except MaiaError as error:
            self.exported.problems.append(f"{evaluation.name}: {one_line(error)}")

    # --- pages and their pictures ---

    def _page(self, place: str, page: str) -> None:
        self.write_text(f"{place}index.html", self._with_pictures(place, page))
        self.exported.pages += 1

    def _with_pictures(self, place: str, page: str) -> str:
        """Returns a page that leads to pictures of runs in the export; writes those that are not there yet."""

        def draw(found: re.Match[str]) -> bytes | None:
            run = self._view.library.find(found["key"])
            return _of_run(self._view, run, found["id"], found["kind"]) if run else None

        return self._replaced(page, _OF_RUN, place, draw, ())

    def _replaced(self, page: str, pattern: re.Pattern[str], place: str, draw: Draw, of: tuple[str, ...]) -> str:
        new = {(*of, *found.groups()): found for found in pattern.finditer(page)}
        new = {key: found for key, found in new.items() if key not in self._names}

        def drawn_or_not(found: re.Match[str]) -> bytes | None:
            try:
                return draw(found)
            except (MaiaError, OSError, ValueError, IndexError):
                return None

        for key, data in zip(new, self._pool.map(drawn_or_not, new.values()), strict=True):
            self._names[key] = self._picture(data)
        root = Links(place, True).root
        return pattern.sub(lambda found: root + self._names[(*of, *found.groups())], page)

    def _picture(self, data: bytes | None) -> str:
        """Writes a picture once, under the hash of its file: a record from elsewhere may lie about its images."""
        known = data or MISSING
        kind = "svg" if data is None else "png" if known.startswith(b"\x89PNG") else "webp"
        name = f"images/{content_id(known)}.{kind}"
        if not self._files.has(name):
            self.write(name, known)
            self.exported.pictures += 1
        return name


def _of_run(view: View, run: RunFolder, image: str, kind: str) -> bytes:
    if kind not in ("thumb", "full"):
        return of_run(view, run, image, kind)
    folder = run.path / "images"
    return _photograph(drawn(folder, image, "full"), kind, lambda: drawn(folder, image, "thumb"))


def _of_unit(shown: Sequence[Shown], rank: int, kind: str) -> bytes | None:
    full = picture(shown[rank], kind if kind not in ("thumb", "full") else "full")
    if full is None or kind not in ("thumb", "full"):
        return full
    return _photograph(full, kind, lambda: picture(shown[rank], "thumb") or b"")


def _photograph(full: bytes, kind: str, small: Callable[[], bytes]) -> bytes:
    """Returns a PNG picture as WebP; of a small one, thumbnail and full size are the same file."""
    with PILImage.open(io.BytesIO(full), formats=["PNG"]) as opened:
        if kind == "thumb" and max(opened.size) > SIDE:
            return small()
        buffer = io.BytesIO()
        opened.convert("RGB").save(buffer, "WEBP", quality=QUALITY, method=3)
    return buffer.getvalue()


def _indexed(row: RunRow) -> dict[str, object]:
    """Returns what the script of the list filters and sorts by."""
    return {
        "key": row.key, "text": row.text, "label": row.label, "unit": row.ref, "backbone": row.backbone,
        "model": row.model, "layer": row.layer, "status": row.status, "verdict": row.verdict, "fit": row.fit,
        "cost": row.cost, "turns": row.turns or None, "seconds": row.seconds or None, "created": row.created or None,
    }  # fmt: skip


def _json(value: object) -> str:
    """Returns a value as JSON that a script may hold."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def lines(exported: Exported, out: Path) -> Iterator[str]:
    """Yields what the command prints of an export."""
    yield from (f"note: {problem}" for problem in exported.problems)
    size = exported.bytes / 1e6
    yield f"{exported.pages:,} pages, {exported.pictures:,} pictures, {size:,.1f} MB; open {out / 'index.html'}"
