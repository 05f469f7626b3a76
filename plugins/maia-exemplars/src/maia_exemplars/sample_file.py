"""Activations on the uniform sample, written to disk during the build so that they take no memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import open_plain


class SampleFile:
    """A file of float32 rows, written in any order; writing the same row again changes nothing."""

    def __init__(self, path: Path, rows: int, width: int) -> None:
        """Opens the file, or creates one of zeros.

        Raises:
            OSError: the file cannot be written.
        """
        self.path, self.rows, self.width = path, rows, width
        self._file = open_plain(path, "r+b")
        self._file.truncate(rows * width * 4)

    def write(self, row: int, numbers: NDArray[np.float32]) -> None:
        """Writes one row.

        Raises:
            OSError: the disk is full.
        """
        data = numbers.astype(np.float32).tobytes()
        if os.pwrite(self._file.fileno(), data, row * self.width * 4) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def columns(self, first: int, last: int) -> NDArray[np.float32]:
        """Returns some columns of all rows as rows: float32 of shape (last - first, rows)."""
        if not self.rows:
            return np.empty((last - first, 0), np.float32)
        whole = np.memmap(self._file, np.float32, "r", shape=(self.rows, self.width))
        return np.ascontiguousarray(whole[:, first:last].T)

    def sync(self) -> None:
        """Waits until all writes are on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
