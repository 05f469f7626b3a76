"""Finds run folders, and keeps what the list shows of each."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maia_core.plugin import JOURNAL, MANIFEST, UsageError, content_id
from maia_view.rows import RunRow, read_row

MAX_DEPTH, MAX_FOLDERS = 8, 100_000
"""How deep folders are searched, and how many."""

RESCAN = 2.0
"""Seconds for which the list of run folders counts as up to date."""

SKIPPED = frozenset({"images", "node_modules", "__pycache__"})


@dataclass(frozen=True)
class RunFolder:
    """A run folder.

    Attributes:
        key: Its name in addresses: a part of its path that reads well, and a hash of all of it.
        path: Where it is.
        name: Its path below the folder that the user named.
        changed: When its journal was written last, in nanoseconds since the epoch.
        size: Bytes of its journal.
    """

    key: str
    path: Path
    name: str
    changed: int
    size: int

    @property
    def is_gone(self) -> bool:
        """Whether the folder was moved or removed since."""
        return not self.path.is_dir()


class Library:
    """The run folders below some folders. Methods may be called from several threads.

    Attributes:
        folders: The folders.
        unreadable: Why the last search could not look into a folder, by its path.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Searches the folders.

        Raises:
            UsageError: one of them is not a folder.
        """
        for folder in folders:
            if not folder.is_dir():
                raise UsageError(f"cannot show {folder}: it is not a folder; name the folder of one or more runs")
        self.folders = [folder.resolve() for folder in folders]
        self._lock = threading.Lock()
        self.unreadable: dict[Path, str] = {}
        self._rows: dict[str, tuple[tuple[int, int], RunRow]] = {}
        self._runs: dict[str, RunFolder] = {}
        self._scanned = 0.0

    def runs(self) -> list[RunFolder]:
        """Returns all run folders, the one that was written last first."""
        with self._lock:
            if time.monotonic() - self._scanned > RESCAN:
                unreadable: dict[Path, str] = {}
                found = [run for folder in self.folders for run in _search(folder, folder, unreadable)]
                self.unreadable = unreadable
                self._runs = {run.key: run for run in sorted(found, key=lambda run: -run.changed)}
                self._rows = {key: row for key, row in list(self._rows.items()) if key in self._runs}
                self._scanned = time.monotonic()
            return list(self._runs.values())

    def find(self, key: str) -> RunFolder | None:
        """Returns the run folder of a key as it is now; None where there is none."""
        run = self._runs.get(key)
        if run is None:
            run = next((run for run in self.runs() if run.key == key), None)
        return run and _run_folder(run.path, run.name, run.key)

    def row(self, run: RunFolder) -> RunRow:
        """Returns what the list shows of a run; a folder that is unchanged is not read again.

        A running run is: whether it runs depends on the time, and on the process that writes it.
        """
        version = run.changed, run.size
        known = self._rows.get(run.key)
        if known is None or known[0] != version or known[1].status == "running":
            known = version, read_row(run.path, run.key, run.name)
            with self._lock:
                self._rows[run.key] = known
        return known[1]

    def rows_within(self, runs: Sequence[RunFolder], seconds: float) -> list[RunRow]:
        """Returns what the list shows of runs, without those that this time does not suffice to read."""
        deadline = time.monotonic() + seconds
        return [self.row(run) for run in runs if run.key in self._rows or time.monotonic() < deadline]

    def known_rows(self) -> list[RunRow]:
        """Returns what the list shows of the runs that were read already."""
        with self._lock:
            return [row for _, row in self._rows.values()]

    def read_all(self) -> None:
        """Reads what the list shows of every run, so that the first search need not wait for it."""
        # From the other end than a search reads, so that both do not read the same runs.
        for run in reversed(self.runs()):
            if run.key not in self._rows:
                self.row(run)


def _search(folder: Path, root: Path, unreadable: dict[Path, str]) -> Iterator[RunFolder]:
    """Yields the run folders below a folder, and notes those that it may not read; a link is not followed."""
    pending, seen = [(folder, 0)], 0
    while pending and seen < MAX_FOLDERS:
        current, depth = pending.pop()
        seen += 1
        try:
            with os.scandir(current) as entries:
                listed = list(entries)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):  # That one was removed since.
                unreadable[current] = error.strerror or "cannot be read"
            continue
        names = {entry.name for entry in listed}
        if MANIFEST in names and JOURNAL in names:
            name = str(current.relative_to(root)) if current != root else current.name
            if (run := _run_folder(current, name)) is not None:
                yield run
            continue
        if depth < MAX_DEPTH:
            pending += [
                (current / entry.name, depth + 1)
                for entry in listed
                if entry.name not in SKIPPED and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]


def _run_folder(path: Path, name: str, key: str = "") -> RunFolder | None:
    try:
        status = os.stat(path / JOURNAL, follow_symlinks=False)
    except OSError:
        return None
    return RunFolder(key or _key(path), path, name, status.st_mtime_ns, status.st_size)


def _key(path: Path) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", path.name.lower()).strip("-")[:40] or "run"
    return f"{readable}-{content_id(os.fsencode(path))[:10]}"
