"""The table of a sweep: labels of units that have no run, such as those of a cheap first stage."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from maia_core.plugin import open_plain, redacted
from maia_view.library import Library

TABLE = "labels.csv"
"""Name of the table in the folder of a sweep."""

MAX_BYTES = 64 << 20
MAX_LABEL = 400


@dataclass(frozen=True)
class Proposed:
    """A label that a table states.

    Attributes:
        model: The model of the unit.
        layer: Its layer.
        unit: The unit.
        label: The label.
        fit: How well it predicts held-out images, from -1 to 1; None where that is not known.
        explainer: Which explainer gave it.
    """

    model: str
    layer: str
    unit: str
    label: str
    fit: float | None
    explainer: str


class SweepLabels:
    """The tables beside the runs of a library. Methods may be called from several threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[tuple[int, int], list[Proposed]]] = {}

    def all(self) -> list[Proposed]:
        """Returns the labels of all tables, those of a damaged one left out."""
        named = self._library.folders
        folders = {parent for run in self._library.runs() for parent in list(run.path.parents)[:2]}
        # The table above a folder that somebody named was not named, so it is neither shown nor published.
        below = {folder for folder in folders if any(folder.is_relative_to(each) for each in named)}
        found: list[Proposed] = []
        for path in sorted(folder / TABLE for folder in below | set(named)):
            with contextlib.suppress(OSError), self._lock:
                status = os.stat(path, follow_symlinks=False)
                version = status.st_mtime_ns, status.st_size
                if self._read.get(path, (None,))[0] != version:
                    self._read[path] = version, list(_rows(path))
                found += self._read[path][1]
        return found


def _rows(path: Path) -> Iterable[Proposed]:
    """Yields the labels of a table; one that is not of a sweep has none."""
    with open_plain(path) as file:
        text = file.read(MAX_BYTES).decode("utf-8-sig", "replace")
    with contextlib.suppress(csv.Error):
        for row in csv.DictReader(io.StringIO(text, newline="")):
            model, _, rest = (row.get("unit") or "").partition(":")
            layer, _, unit = rest.rpartition(":")
            if model and unit and (label := row.get("label")):
                explainer = row.get("explainer") or ""
                yield Proposed(model, layer, unit, redacted(label)[:MAX_LABEL], _number(row.get("pearson")), explainer)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
