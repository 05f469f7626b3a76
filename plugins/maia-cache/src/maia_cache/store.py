"""A folder of values named by what they were made from: bounded in size, and safe to share between processes."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from maia_cache.claims import Claims
from maia_cache.entries import Entry, entries_in
from maia_cache.forms import FORMS, MAX_BYTES, Form
from maia_core.plugin import (
    ToolError,
    UsageError,
    open_plain,
    plain_folder,
    results_of,
    write_atomically,
    write_new,
)

if TYPE_CHECKING:
    from maia_core.plugin import RunContext

T = TypeVar("T")

DEFAULT_BYTES = 10_000_000_000
"""Bound of a folder that has no other one set: about 25,000 images of 512 pixels."""

LEFT = 0.9
"""Share of the bound that is left after the entries that were used longest ago were removed."""

SHARE = 0.05
"""Share of the bound that a process writes before it looks at the folder again, to which others write too."""

LIMIT_FILE = "limit"
"""Holds the folder's own bound in bytes, where one was set."""

_claims = Claims()
"""What is being made in this process, in whatever folder and for whatever run."""


class ContentCache:
    """Values by engine and key; a key is the hash of everything that a value was made from.

    The first value that is kept under a key stays: two processes that make it at the same time get the same one. A file
    that is broken counts as missing. Deleting files, or the folder, is always safe.

    Attributes:
        folder: Where the values are; made when the first one is kept.
    """

    def __init__(
        self, folder: Path, max_bytes: int | None = None, warn: Callable[[str], None] = lambda line: None
    ) -> None:
        """Opens a cache.

        Args:
            folder: Its folder.
            max_bytes: Its bound. Beyond it, the entries that were used longest ago are removed, until a tenth of it is
                free; several processes that write may pass it by a twentieth each. None: the bound that `set_limit`
                wrote, else `DEFAULT_BYTES`.
            warn: Takes a line where nothing can be kept.

        Raises:
            UsageError: the bound is negative.
        """
        if max_bytes is not None and max_bytes < 0:
            raise UsageError(f"a cache of {max_bytes} bytes holds nothing; set a bound of 0 or more")
        self.folder = folder
        self._max_bytes = max_bytes
        self._warn = warn
        self._warned = False
        self._lock = threading.Lock()
        self._total: int | None = None
        self._written = 0

    @property
    def max_bytes(self) -> int:
        """The bound in bytes."""
        if self._max_bytes is not None:
            return self._max_bytes
        try:
            with open_plain(self.folder / LIMIT_FILE) as file:
                return max(0, int(file.read(100)))
        except (OSError, ValueError):
            return DEFAULT_BYTES

    def set_limit(self, max_bytes: int) -> None:
        """Sets the bound of the folder, for every process that opens it without one.

        Raises:
            OSError: the folder cannot be written.
        """
        write_atomically(self.folder / LIMIT_FILE, str(max_bytes).encode())

    # One value.

    def find(self, engine: str, key: str, form: Form[T]) -> T | None:
        """Returns what is kept under a key, and notes that it was used; None if there is nothing, or it is broken."""
        path = self._path(engine, key, form)
        value = _read(path, key, form)
        if value is not None:
            with contextlib.suppress(OSError):
                os.utime(path)  # The order of use; access times are switched off on many machines.
        return value

    def keep(self, engine: str, key: str, value: T, form: Form[T]) -> T:
        """Keeps a value, unless another one was kept under its key meanwhile; returns the one that is kept.

        A value that cannot be written, or is too large, is returned as it is.
        """
        try:
            data = form.encode(key, value)
            kept = self._put(self._path(engine, key, form), key, data, value, form)
            self._count(len(data))
        except ValueError as error:
            self._say(f"a result is too large to be kept in the cache ({error}): it is made again when asked for again")
            return value
        except OSError as error:
            cause = error.strerror or error
            self._say(f"nothing can be kept in {self.folder} ({cause}): what is asked for again is made again")
            return value
        return kept

    # Many values.

    def recall(
        self,
        engine: str,
        keys: Sequence[str],
        form: Form[T],
        make: Callable[[list[int]], Sequence[T]],
        step: int | None = None,
        cacheable: Callable[[T], bool] = lambda value: True,
    ) -> list[T]:
        """Returns the values of keys, of which only the missing ones are made; what another thread makes is waited for.

        Args:
            engine: What makes them.
            keys: Their keys; equal ones have one value.
            form: How they are written.
            make: Gets positions in `keys` and returns the values for them, in that order.
            step: How many are made in one call; all where it is None. What was made before a failure is kept.
            cacheable: Returns whether to keep a value at all.

        Raises:
            ToolError: `make` raised one for some of the values; the others are made, and kept.
            Exception: `make` failed; the results that it added to the error (`with_results`) are kept.
        """
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        values: dict[str, T] = {}
        refused: list[ToolError] = []

        def missing(to_make: Iterable[str]) -> list[str]:
            for key in to_make:
                if (value := self.find(engine, key, form)) is not None:
                    values[key] = value
            return [key for key in to_make if key not in values]

        waiting = missing(sorted(first, key=first.__getitem__))
        while waiting:
            with _claims.taken({key: str(self._path(engine, key, form)) for key in waiting}) as (mine, others):
                to_make = missing(mine)
                for chunk in _chunks(to_make, step):
                    failure: BaseException | None = None
                    try:
                        results = dict(zip(chunk, make([first[key] for key in chunk]), strict=True))
                    except BaseException as error:
                        failure = error
                        results = {chunk[position]: value for position, value in results_of(error).items()}
                    values |= {
                        key: self.keep(engine, key, value, form) if cacheable(value) else value
                        for key, value in results.items()
                    }
                    if isinstance(failure, ToolError):
                        refused.append(failure)
                    elif failure is not None:
                        raise failure
            others.wait()
            waiting = missing(others.keys)
        if refused:
            raise _together(refused, len(values))
        return [values[key] for key in keys]

    # All of it.

    def entries(self) -> Iterator[Entry]:
        """Lists what is there, in no order; what a killed process left half-written is removed on the way."""
        return entries_in(self.folder)

    def prune(
        self,
        max_bytes: int | None = None,
        unused: float | None = None,
        engine: str | None = None,
        *,
        dry_run: bool = False,
    ) -> list[Entry]:
        """Removes entries, those that were used longest ago first, and returns them.

        Args:
            max_bytes: How many bytes are left at most.
            unused: Entries that were not used for so many seconds are removed, whatever is left.
            engine: Only entries of this engine are counted and removed.
            dry_run: Nothing is removed.
        """
        entries = sorted((e for e in self.entries() if engine in (None, e.engine)), key=lambda entry: entry.used)
        total, now, gone = sum(entry.size for entry in entries), time.time(), []
        for entry in entries:
            too_old = unused is not None and now - entry.used > unused
            too_much = max_bytes is not None and total > max_bytes
            if too_old or too_much:
                gone.append(entry)
                total -= entry.size
        if not dry_run:
            for entry in gone:
                with contextlib.suppress(OSError):  # Another process was first.
                    entry.path.unlink()
            for folder in {entry.path.parent for entry in gone}:
                with contextlib.suppress(OSError):  # It is not empty.
                    folder.rmdir()
        return gone

    def verify(self) -> tuple[int, list[Entry]]:
        """Reads every entry and removes those that are broken; returns how many are sound, and the broken ones."""
        sound, broken = 0, []
        for entry in self.entries():
            if _read(entry.path, entry.path.stem, FORMS[entry.path.suffix]) is not None:
                sound += 1
            elif entry.path.exists():
                entry.path.unlink(missing_ok=True)
                broken.append(entry)
        return sound, broken

    # Files.

    def _path(self, engine: str, key: str, form: Form[T]) -> Path:
        return self.folder / slug(engine) / f"{key}{form.suffix}"

    def _put(self, path: Path, key: str, data: bytes, value: T, form: Form[T]) -> T:
        """Writes a file if there is none; returns the value that is in the file then."""
        plain_folder(path.parent)
        if not write_new(path, data):
            if (first := _read(path, key, form)) is not None:
                return first
            write_atomically(path, data)
        return value

    def _count(self, size: int) -> None:
        """Adds what was written, and removes what is too much."""
        with self._lock:
            bound = self.max_bytes
            self._written += size
            if self._total is None or self._written > SHARE * bound:
                self._total, self._written = sum(entry.size for entry in self.entries()), 0
            else:
                self._total += size
            if self._total > bound:
                self._total -= sum(entry.size for entry in self.prune(int(LEFT * bound)))

    def _say(self, line: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(line)


def shared(context: RunContext) -> ContentCache:
    """Returns the cache that all engines of a machine share, in the run's cache folder."""
    return ContentCache(context.cache / "content", warn=context.warn)


def slug(engine: str) -> str:
    """Returns the name of an engine's folder: lower case, without what file systems do not take."""
    return re.sub(r"[^a-z0-9.]+", "-", engine.lower()).strip("-.")[:80] or "engine"


def _read(path: Path, key: str, form: Form[T]) -> T | None:
    try:
        with open_plain(path) as file:
            data = file.read(MAX_BYTES + 1)
        return form.decode(key, data) if len(data) <= MAX_BYTES else None
    except Exception:  # Missing, unreadable, or broken, which raises whatever the damage leads to.
        return None


def _chunks(keys: list[str], step: int | None) -> Iterator[list[str]]:
    size = step or len(keys) or 1
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _together(refused: list[ToolError], kept: int) -> ToolError:
    """Returns one error for those of several calls."""
    others = f"; the other {kept} are kept, and come at once when they are asked for again" if kept else ""
    return ToolError("; ".join(dict.fromkeys(map(str, refused))) + others)
