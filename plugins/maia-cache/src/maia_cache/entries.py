"""Lists the files of a cache."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maia_cache.forms import FORMS

ABANDONED = 3600.0
"""Age in seconds from which on a file that was never finished belongs to a process that was killed."""


@dataclass(frozen=True)
class Entry:
    """One file of a cache.

    Attributes:
        engine: What made it.
        path: The file.
        size: Its bytes.
        used: When it was last used, in seconds since the epoch.
    """

    engine: str
    path: Path
    size: int
    used: float


def entries_in(folder: Path) -> Iterator[Entry]:
    """Lists what is there, in no order; what a killed process left half-written is removed on the way."""
    now = time.time()
    for engine in _scan(folder):
        if not engine.is_dir(follow_symlinks=False):
            continue
        for file in _scan(Path(engine.path)):
            with contextlib.suppress(OSError):
                if not file.is_file(follow_symlinks=False):
                    continue
                status = file.stat(follow_symlinks=False)
                path = Path(file.path)
                if path.suffix in FORMS and not path.name.startswith("."):
                    yield Entry(engine.name, path, status.st_size, status.st_mtime)
                elif path.name.startswith(".") and now - status.st_mtime > ABANDONED:
                    path.unlink()


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:
        return
