"""The evaluations below some folders, drawn with the templates of `maia eval report`, and the units behind a figure."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maia_core.plugin import MANIFEST as RUN_MANIFEST
from maia_core.plugin import UsageError, content_id, one_line
from maia_eval.results import MANIFEST, Folder
from maia_eval.summary import ALL, FIGURES
from maia_eval.tables import tables
from maia_view.library import Library

MAX_DEPTH, MAX_FOLDERS = 5, 20_000
"""How deep folders are searched, and how many."""

RESCAN = 5.0
"""Seconds for which the list of evaluations counts as up to date."""

UNIT_TABLES = {"predictive": "units", "synthetic": "units", "bias": "models"}
"""Kind of an evaluation to its table with a row per unit and explainer."""


@dataclass(frozen=True)
class Evaluation:
    """The folder of an evaluation.

    Attributes:
        key: Its name in addresses.
        path: Where it is.
        name: Its path below the folder that the user named.
        folder: The evaluation; None where it cannot be read.
        problem: Why it cannot be read.
    """

    key: str
    path: Path
    name: str
    folder: Folder | None = None
    problem: str = ""


@dataclass(frozen=True)
class UnitLine:
    """One unit and explainer behind a figure.

    Attributes:
        values: What the table holds, by column.
        run: Name in addresses of the run that gave the label; empty where there is none.
    """

    values: Mapping[str, Any]
    run: str = ""


class Evaluations:
    """All evaluations of a viewer. Methods may be called from several threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._found: list[Evaluation] = []
        self._scanned = -RESCAN

    def all(self) -> list[Evaluation]:
        """Returns the evaluations by name."""
        with self._lock:
            if time.monotonic() - self._scanned > RESCAN:
                found = [_opened(path, folder) for folder in self._library.folders for path in _search(folder)]
                self._found = sorted(_told_apart({each.key: each for each in found}), key=lambda each: each.name)
                self._scanned = time.monotonic()
            return self._found

    def find(self, key: str) -> Evaluation | None:
        """Returns an evaluation by its name in addresses; None where there is none."""
        return next((each for each in self.all() if each.key == key), None)

    def run_keys(self) -> dict[Path, str]:
        """Returns the name in addresses of every run, by its folder."""
        return {run.path: run.key for run in self._library.runs()}


def unit_lines(folder: Folder, group: str, explainer: str, runs: Mapping[Path, str]) -> list[UnitLine]:
    """Returns the units and explainers behind a figure.

    Args:
        folder: The evaluation.
        group: Group of units as in the table of figures; empty for all.
        explainer: Name of the explainer; empty for all.
        runs: Name in addresses of every run, by its folder.

    Raises:
        UsageError: a file of the evaluation is damaged.
    """
    explained = folder.explained()
    lines = []
    for row in tables(folder).get(UNIT_TABLES[folder.manifest.kind], []):
        if explainer in ("", row["explainer"]) and _is_in(row, group):
            said = explained.get((str(row["unit"]), str(row["explainer"])))
            place = (folder.path / said.run).resolve() if said and said.run else None
            lines.append(UnitLine(row, runs.get(place, "") if place else ""))
    return lines


def titles(folder: Folder) -> dict[str, str]:
    """Returns the title of each column of a table of units, by its name."""
    names = {figure.key: figure.title for figure in FIGURES} if folder.manifest.kind == "predictive" else {}
    return names


def _is_in(row: Mapping[str, Any], group: str) -> bool:
    if group in ("", ALL) or group.startswith("all"):
        return True
    return str(row["unit"]).startswith(f"{group}:") or row.get("kind") == group or row.get("form") == group


def _search(root: Path) -> Iterator[Path]:
    """Yields the folders of evaluations below a folder; links are not followed, runs are not entered."""
    pending, seen = [(root, 0)], 0
    while pending and seen < MAX_FOLDERS:
        current, depth = pending.pop()
        seen += 1
        with contextlib.suppress(OSError), os.scandir(current) as entries:
            listed = list(entries)
            names = {entry.name for entry in listed}
            if MANIFEST in names:
                yield current
            elif RUN_MANIFEST not in names and depth < MAX_DEPTH:
                pending += [
                    (Path(entry.path), depth + 1)
                    for entry in listed
                    if not entry.name.startswith(".") and entry.name != "images" and entry.is_dir(follow_symlinks=False)
                ]


def _told_apart(found: Mapping[str, Evaluation]) -> Iterator[Evaluation]:
    """Yields evaluations; those of one name are named by their paths below what these have in common."""
    alike = Counter(each.name for each in found.values())
    for each in found.values():
        if alike[each.name] > 1:
            paths = [other.path for other in found.values() if other.name == each.name]
            yield replace(each, name=str(each.path.relative_to(os.path.commonpath(paths))))
        else:
            yield each


def _opened(path: Path, root: Path) -> Evaluation:
    readable = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")[:40] or "evaluation"
    key = f"{readable}-{content_id(os.fsencode(path))[:10]}"
    name = str(path.relative_to(root)) if path != root else path.name
    try:
        return Evaluation(key, path, name, Folder(path))
    except UsageError as error:
        return Evaluation(key, path, name, problem=one_line(error))
