"""The state of an unfinished build on disk: a killed process loses at most its last minute."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import RunError, UsageError, open_plain, plain_folder

STATE = "state.npz"

MIN_PAUSE, MAX_PAUSE = 15.0, 50.0
"""Seconds between two savings, at least and at most."""

MAX_SHARE = 0.01
"""Part of the time that savings may take, as long as `MAX_PAUSE` allows."""

BROKEN = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)
"""Errors of reading a broken file."""


class Checkpoint:
    """The state file of a build: arrays and JSON in one `.npz` without pickles, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STATE
        self._pause = MIN_PAUSE
        self._saved = time.monotonic()

    @property
    def exists(self) -> bool:
        """True if there is a state to resume from."""
        return self._path.exists()

    @property
    def due(self) -> bool:
        """True if it is time to save again."""
        return time.monotonic() - self._saved >= self._pause

    def save(self, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Writes the state; a reader sees the one before or this one.

        Raises:
            OSError: the disk is full; the state before is still there.
        """
        started = time.monotonic()
        handle, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=f".{STATE}.")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, allow_pickle=False, facts=_packed(facts), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        self._saved = time.monotonic()
        self._pause = min(MAX_PAUSE, max(MIN_PAUSE, (self._saved - started) / MAX_SHARE))

    def load(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Reads the state.

        Raises:
            UsageError: it is broken.
        """
        try:
            with open_plain(self._path) as file, np.load(file) as archive:
                arrays = {name: archive[name] for name in archive.files}
            facts = json.loads(arrays.pop("facts").tobytes())
        except BROKEN as error:
            raise UsageError(
                f"cannot resume from {self._path} ({type(error).__name__}); delete {self._path.parent}"
            ) from error
        return facts, arrays


@contextmanager
def locked(folder: Path, wait: bool) -> Iterator[None]:
    """Holds the lock of a build's folder, and creates the folder; the lock is released however the process ends.

    Raises:
        UsageError: another process holds it, and `wait` is false.
        OSError: the folder, or the lock in it, is a link, or something else than it should be.
    """
    while True:
        with open_plain(plain_folder(folder) / "lock", "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                raise UsageError(f"another process is building in {folder.parent}; wait for it or stop it") from error
            # The process that held it may have finished meanwhile, and removed the folder with this file.
            if not _is_still(file.fileno(), folder / "lock"):
                continue
            yield
            return


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


@contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Reports in one line that a disk is full or cannot be written, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EINVAL and error.filename:  # A link or a pipe where a file of ours belongs.
            raise RunError(f"{error.filename} cannot be used: {error.strerror}") from error
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG):
            raise
        raise RunError(
            f"{folder} cannot be written ({error.strerror}): the build is saved up to its last checkpoint; "
            "free some space and resume it with --resume"
        ) from error


def parts(arrays: Mapping[str, NDArray[Any]] | None, prefix: str) -> dict[str, NDArray[Any]] | None:
    """Returns the arrays below a prefix, under their own names; None where there are none."""
    below = f"{prefix}/"
    below_prefix = {name.removeprefix(below): array for name, array in (arrays or {}).items() if name.startswith(below)}
    return below_prefix or None


def _packed(facts: Mapping[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(facts).encode(), np.uint8)
