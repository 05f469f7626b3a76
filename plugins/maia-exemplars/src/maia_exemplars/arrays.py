"""Array files that nobody has to trust: memory-mapped, without pickles, links or devices."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from maia_core.plugin import one_line, open_plain

UNREADABLE = (OSError, ValueError, EOFError, TypeError, OverflowError, MemoryError, RecursionError)
"""Errors of reading a broken file."""


def open_array(path: Path, kind: DTypeLike, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Memory-maps an `.npy` file of one type and shape (None: any length).

    Raises:
        UNREADABLE: the file is missing, a link, of another type or shape, or cut short.
    """
    with open_plain(path) as file:
        array = _mapped(file)
    fits = len(array.shape) == len(shape) and all(b in (a, None) for a, b in zip(array.shape, shape, strict=True))
    if array.dtype != np.dtype(kind) or not fits:
        raise ValueError(f"it holds {array.dtype} {array.shape}")
    return array


def reason(error: Exception) -> str:
    """Returns why a file cannot be read, in a few words."""
    return error.strerror or one_line(error) if isinstance(error, OSError) else str(error)


def _mapped(file: IO[bytes]) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"an array file of version {version}")
    shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
    if kind.hasobject or fortran:
        raise ValueError("an array of objects, or in another order of axes")
    if 0 in shape:
        return np.empty(shape, kind)
    return np.memmap(file, kind, "r", offset=file.tell(), shape=shape)
