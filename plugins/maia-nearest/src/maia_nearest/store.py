"""The cache file of what was learned from a library: arrays only, written in one step, checked when read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def read(path: Path, names: frozenset[str]) -> Arrays | None:
    """Reads the arrays of a file, or returns None if it is missing, broken or not what is expected."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception:  # A damaged archive raises whatever its damage leads to: it is made anew.
        return None
    if set(arrays) != names:
        return None
    sound = all(np.isfinite(array).all() for array in arrays.values() if np.issubdtype(array.dtype, np.floating))
    return arrays if sound else None


def write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes arrays to a file that appears complete or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
