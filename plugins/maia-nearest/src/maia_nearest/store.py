"""The cache file of what was learned from a library: arrays only, written in one step, checked when read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import write_atomically

Arrays = dict[str, NDArray[Any]]


def read(path: Path, names: frozenset[str]) -> Arrays | None:
    """Reads the arrays of a file, or returns None if it is missing, broken or not what is expected."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception:  # A damaged archive can raise any error: rebuild it.
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
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())
