"""The files of an export: a later one replaces them, and deletes those that it does not write again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath

from maia_core.plugin import UsageError, open_plain, plain_folder, write_atomically

MARKER = ".maia-view"
"""File of an export with the names of its files: a later export may replace and delete these."""

_FIRST_LINE = "Written by `maia view --export`, which may replace and delete these files:"


class SiteFiles:
    """Writes the files of one export.

    Attributes:
        bytes: Size of all files that were written.
    """

    def __init__(self, out: Path) -> None:
        """Makes the folder where it is missing.

        Raises:
            UsageError: it holds something else than an earlier export.
            OSError: it cannot be made or read, or is a link.
        """
        # A missing folder followed by `..` would hide what the folder holds.
        folder = out if out.is_symlink() else out.resolve()
        if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
            raise UsageError(f"cannot export to {out}: it holds something else; choose a new or an empty folder")
        self.folder = plain_folder(folder)
        self.bytes = 0
        self._written: set[str] = set()
        self._before = self._listed()
        self.write_list()

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, by its name in the export; one in its place is replaced, a link never followed."""
        write_atomically(self.folder / name, data)
        self._written.add(name)
        self.bytes += len(data)

    def has(self, name: str) -> bool:
        """Returns whether this export has written a file."""
        return name in self._written

    def write_list(self) -> None:
        """Writes the names of all files of this export and of earlier ones into the marker."""
        names = sorted(self._before | self._written)
        write_atomically(self.folder / MARKER, "\n".join([_FIRST_LINE, *names, ""]).encode())

    def delete_others(self) -> None:
        """Deletes the files of earlier exports that this one did not write, and the folders that they leave empty."""
        for name in self._before - self._written:
            path = self.folder / name
            if path.parent.resolve() != path.parent:
                continue  # Somebody put a link in place of a folder.
            if path.is_file() or path.is_symlink():
                path.unlink()
            for folder in [self.folder / parent for parent in PurePosixPath(name).parents][:-1]:
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        self._before = set()
        self.write_list()

    def _listed(self) -> set[str]:
        """Returns the names that the marker lists, without those that would lead out of the folder."""
        if not (self.folder / MARKER).exists():
            return set()
        with open_plain(self.folder / MARKER) as file:
            lines = file.read().decode("utf-8", "replace").splitlines()[1:]
        names = {line for line in lines if line and "\0" not in line and line != MARKER}
        return {name for name in names if not name.startswith("/") and ".." not in PurePosixPath(name).parts}
