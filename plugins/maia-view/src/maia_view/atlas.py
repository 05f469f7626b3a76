"""The layers whose units can be browsed: those of exemplar indexes, and those of which there are runs."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from maia_core.plugin import UsageError, cache_dir, content_id
from maia_exemplars.folder import Index, all_folders
from maia_exemplars.layer import LayerIndex
from maia_view.library import Library
from maia_view.listing import natural
from maia_view.notes import read_note
from maia_view.rows import RunRow
from maia_view.units import UnitRow

MAX_RUN_UNITS = 20_000
"""Units of a layer without an index that are shown at most."""


@dataclass(frozen=True)
class Atlas:
    """The units of one layer.

    Attributes:
        key: Its name in addresses.
        model: The model.
        layer: The layer.
        index: Its exemplar index; None without one.
        rows: Its units, in the order of the layer.
    """

    key: str
    model: str
    layer: str
    index: LayerIndex | None
    rows: tuple[UnitRow, ...]

    @property
    def title(self) -> str:
        """Model and layer."""
        return ":".join(part for part in (self.model, self.layer) if part) or "units"

    @cached_property
    def by_key(self) -> dict[str, UnitRow]:
        """The units by their name in addresses."""
        return {row.key: row for row in self.rows}

    @property
    def labelled(self) -> int:
        """Number of units with a label."""
        return sum(bool(row.label) for row in self.rows)

    @property
    def verified(self) -> int:
        """Number of units whose label fresh inputs have confirmed."""
        return sum(row.verdict == "verified" for row in self.rows)


class Atlases:
    """All atlases of a viewer. Methods may be called from several threads."""

    def __init__(self, library: Library, folders: Sequence[Path], *, cache: Path | None = None) -> None:
        """Opens the indexes below folders.

        Args:
            library: The runs.
            folders: Folders that may be indexes, or hold some.
            cache: Where runs keep their indexes, which then serve the layers that there are runs of; None: the cache.
        """
        self._library = library
        self._named = [layer for folder in folders for layer in _layers_below(folder)]
        self._cache = cache or cache_dir()
        self._lock = threading.Lock()
        self._known: tuple[object, dict[str, Atlas]] = (None, {})

    def all(self) -> list[Atlas]:
        """Returns the atlases, those with the most labels first."""
        found = self._current().values()
        return sorted(found, key=lambda atlas: (-atlas.labelled, natural(atlas.title)))

    def find(self, key: str) -> Atlas | None:
        """Returns an atlas by its name in addresses; None where there is none."""
        return self._current().get(key)

    def place_of(self, run: RunRow) -> tuple[str, str] | None:
        """Returns the names in addresses of the atlas and the unit of a run."""
        for atlas in self._current().values():
            if (atlas.model, atlas.layer) == (run.model, run.layer):
                for row in atlas.rows:
                    if any(run.key == each.key for each in row.runs):
                        return atlas.key, row.key
        return None

    def _current(self) -> dict[str, Atlas]:
        folders = self._library.runs()
        runs = [self._library.row(folder) for folder in folders]
        marks = {folder.key: mark for folder in folders if (mark := read_note(folder.path).mark)}
        version = runs, marks
        with self._lock:
            if self._known[0] != version:
                self._known = version, {atlas.key: atlas for atlas in self._made(runs, marks)}
            return self._known[1]

    def _made(self, runs: Sequence[RunRow], marks: Mapping[str, str]) -> Iterable[Atlas]:
        of_layer: dict[tuple[str, str], list[RunRow]] = defaultdict(list)
        for run in runs:
            if run.model:
                of_layer[run.model, run.layer].append(run)
        indexes = [*self._named]
        named = {(layer.info.model, layer.info.layer) for layer in indexes}
        if missing := of_layer.keys() - named:
            indexes += _cached(self._cache, missing)
        for layer in indexes:
            yield _of_index(layer, of_layer.get((layer.info.model, layer.info.layer), []), marks)
        for model, layer_name in sorted(of_layer.keys() - {(i.info.model, i.info.layer) for i in indexes}):
            yield _of_runs(model, layer_name, of_layer[model, layer_name], marks)


def _of_index(index: LayerIndex, runs: Sequence[RunRow], marks: Mapping[str, str]) -> Atlas:
    info = index.info
    by_unit: dict[str, list[RunRow]] = defaultdict(list)
    for run in runs:
        by_unit[run.unit].append(run)
    records = index.units
    has_one = (records["places"][:, 0] >= 0).tolist()
    highest = records["values"][:, 0].tolist()
    rows = []
    for number in range(info.units):
        name = info.labels[number] if info.labels else str(number)
        own = [*by_unit.get(name, []), *(by_unit.get(str(number), []) if name != str(number) else [])]
        row = UnitRow(str(number), info.model, info.layer, name, number, highest[number] if has_one[number] else None)
        rows.append(_with_runs(row, own, marks))
    return Atlas(_key(info.model, info.layer, str(index.folder)), info.model, info.layer, index, tuple(rows))


def _of_runs(model: str, layer: str, runs: Sequence[RunRow], marks: Mapping[str, str]) -> Atlas:
    by_unit: dict[str, list[RunRow]] = defaultdict(list)
    for run in runs:
        by_unit[run.unit].append(run)
    rows = [
        _with_runs(UnitRow(_unit_key(unit), model, layer, unit), by_unit[unit], marks)
        for unit in sorted(by_unit, key=natural)[:MAX_RUN_UNITS]
    ]
    return Atlas(_key(model, layer, ""), model, layer, None, tuple(rows))


def _with_runs(row: UnitRow, runs: Sequence[RunRow], marks: Mapping[str, str]) -> UnitRow:
    """Returns a unit with its runs: those with a label first, of these the verified ones, the newest first."""
    if not runs:
        return row
    best = sorted(runs, key=lambda run: (not run.label, run.verdict != "verified", -run.created, run.key))
    return replace(row, runs=tuple(best), mark=marks.get(best[0].key, ""))


def _layers_below(folder: Path) -> list[LayerIndex]:
    """Returns the layers of the index in a folder, or of those one level below it."""
    found = []
    below = [folder]
    with contextlib.suppress(OSError):
        below += sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    for place in below:
        index = Index(place)
        for name in index.layers():
            with contextlib.suppress(UsageError):
                layer = index.layer(name)
                layer.check()
                found.append(layer)
    return found


def _cached(cache: Path, wanted: Iterable[tuple[str, str]]) -> list[LayerIndex]:
    """Returns indexes of the cache for layers that there are runs of: of several of one layer, that of most images."""
    wanted = set(wanted)
    best: dict[tuple[str, str], LayerIndex] = {}
    for folder in all_folders(cache):
        index = Index(folder)
        for name in index.layers():
            with contextlib.suppress(UsageError):
                layer = index.layer(name)
                place = layer.info.model, layer.info.layer
                if place in wanted and layer.info.count > (best[place].info.count if place in best else 0):
                    layer.check()
                    best[place] = layer
    return list(best.values())


def _key(model: str, layer: str, folder: str) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", f"{model}-{layer}".lower()).strip("-")[-40:].strip("-") or "units"
    return f"{readable}-{content_id(model.encode(), layer.encode(), os.fsencode(folder))[:10]}"


def _unit_key(unit: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", unit):
        return unit
    readable = re.sub(r"[^A-Za-z0-9]+", "-", unit).strip("-")[:40] or "unit"
    return f"{readable}-{content_id(unit.encode('utf-8', 'replace'))[:10]}"
