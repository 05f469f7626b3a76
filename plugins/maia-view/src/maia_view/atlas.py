"""The layers whose units can be browsed: those of exemplar indexes, and those of which there are runs."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from maia_view.sweep_labels import Proposed, SweepLabels
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

    def __init__(
        self, library: Library, folders: Sequence[Path], *, cache: Path | None = None, whole: bool = True
    ) -> None:
        """Opens the indexes below folders.

        Args:
            library: The runs.
            folders: Folders that may be indexes, or hold some.
            cache: Where runs keep their indexes, which then serve the layers that there are runs of; None: the cache.
            whole: Whether such an index shows all units of its layer, or those alone that have a run or a label.
        """
        self._library = library
        self._named = [layer for folder in folders for layer in _layers_below(folder)]
        self._cache = cache or cache_dir()
        self._whole = whole
        self._labels = SweepLabels(library)
        self._lock = threading.Lock()
        self._cached: tuple[frozenset[tuple[str, str]], list[LayerIndex]] = (frozenset(), [])
        self._known: tuple[object, dict[str, Atlas]] = (None, {})
        self._places: dict[str, tuple[str, str]] = {}

    def all(self) -> list[Atlas]:
        """Returns the atlases, those with the most labels first."""
        found = self._current().values()
        return sorted(found, key=lambda atlas: (-atlas.labelled, natural(atlas.title)))

    def find(self, key: str) -> Atlas | None:
        """Returns an atlas by its name in addresses; None where there is none."""
        return self._current().get(key)

    def places(self) -> Mapping[str, tuple[str, str]]:
        """Returns the names in addresses of the atlas and the unit of each run, by the run's key."""
        self._current()
        return self._places

    def _current(self) -> dict[str, Atlas]:
        folders = self._library.runs()
        runs = [self._library.row(folder) for folder in folders]
        marks = {folder.key: mark for folder in folders if (mark := read_note(folder.path).mark)}
        proposed = self._labels.all()
        version = runs, marks, proposed
        with self._lock:
            if self._known[0] != version:
                atlases = list(self._made(runs, marks, proposed))
                self._known = version, {atlas.key: atlas for atlas in atlases}
                # A run whose layer has several indexes leads to the first one.
                self._places = {
                    run.key: (atlas.key, row.key) for atlas in atlases[::-1] for row in atlas.rows for run in row.runs
                }
            return self._known[1]

    def _made(self, runs: Sequence[RunRow], marks: Mapping[str, str], proposed: Sequence[Proposed]) -> Iterator[Atlas]:
        layers: dict[tuple[str, str], _Units] = defaultdict(lambda: _Units(marks))
        for run in runs:
            if run.model:
                layers[run.model, run.layer].runs[run.unit].append(run)
        for each in proposed:
            layers[each.model, each.layer].proposed[each.unit] = each
        indexes = [*self._named]
        if missing := layers.keys() - {(layer.info.model, layer.info.layer) for layer in indexes}:
            indexes += self._from_cache(frozenset(missing))
        for index in indexes:
            atlas = _of_index(index, layers[index.info.model, index.info.layer])
            if not (self._whole or index in self._named):
                atlas = replace(atlas, rows=tuple(row for row in atlas.rows if row.runs or row.proposed))
            yield atlas
        for model, layer in sorted(layers.keys() - {(index.info.model, index.info.layer) for index in indexes}):
            yield _of_runs(model, layer, layers[model, layer])

    def _from_cache(self, wanted: frozenset[tuple[str, str]]) -> list[LayerIndex]:
        if self._cached[0] != wanted:
            self._cached = wanted, _cached(self._cache, wanted)
        return self._cached[1]


class _Units:
    """What is known of the units of one layer beside an index."""

    def __init__(self, marks: Mapping[str, str]) -> None:
        self.runs: dict[str, list[RunRow]] = defaultdict(list)
        self.proposed: dict[str, Proposed] = {}
        self._marks = marks

    def row(self, row: UnitRow) -> UnitRow:
        """Returns a unit with its runs: those with a label first, of these the verified ones, the newest first."""
        names = dict.fromkeys((row.unit, row.unit if row.number is None else str(row.number)))
        runs = [run for name in names for run in self.runs.get(name, ())]
        proposed = next((self.proposed[name] for name in names if name in self.proposed), None)
        best = sorted(runs, key=lambda run: (not run.label, run.verdict != "verified", -run.created, run.key))
        mark = self._marks.get(best[0].key, "") if best else ""
        return replace(row, runs=tuple(best), proposed=proposed, mark=mark) if best or proposed else row


def _of_index(index: LayerIndex, units: _Units) -> Atlas:
    info, records = index.info, index.units
    has_one = (records["places"][:, 0] >= 0).tolist()
    highest = records["values"][:, 0].tolist()
    rows = []
    for number in range(info.units):
        name = info.labels[number] if info.labels else str(number)
        row = UnitRow(str(number), info.model, info.layer, name, number, highest[number] if has_one[number] else None)
        rows.append(units.row(row))
    return Atlas(_key(info.model, info.layer, str(index.folder)), info.model, info.layer, index, tuple(rows))


def _of_runs(model: str, layer: str, units: _Units) -> Atlas:
    names = sorted({*units.runs, *units.proposed}, key=natural)[:MAX_RUN_UNITS]
    rows = tuple(units.row(UnitRow(_unit_key(unit), model, layer, unit)) for unit in names)
    return Atlas(_key(model, layer, ""), model, layer, None, rows)


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
    # An address that others may read names no folder of this machine.
    name = re.sub(r"(?<![\w.-])~?/.*/", "", model)
    readable = re.sub(r"[^a-z0-9]+", "-", f"{name}-{layer}".lower()).strip("-")[-40:].strip("-") or "units"
    return f"{readable}-{content_id(model.encode(), layer.encode(), os.fsencode(folder))[:10]}"


def _unit_key(unit: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", unit):
        return unit
    readable = re.sub(r"[^A-Za-z0-9]+", "-", unit).strip("-")[:40] or "unit"
    return f"{readable}-{content_id(unit.encode('utf-8', 'replace'))[:10]}"
