"""Images that lie in files: each is a file, or a part of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from maia_core.plugin import open_plain
from maia_datasets.decode import ImageOptions
from maia_datasets.encoded import EncodedImages


class FilePart(NamedTuple):
    """Where some bytes lie: `size` bytes of a file, from `offset` on."""

    file: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Reads the bytes.

        Each call opens the file again: threads share no position, and thousands of shards no table of files.

        Raises:
            OSError: they cannot be read, or the file has become shorter.
        """
        with open_plain(Path(self.file).resolve()) as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise OSError("the file ends before it")
        return content


class StoredImages(EncodedImages):
    """A data set of images that lie in files."""

    def __init__(self, name: str, ids: Sequence[str], parts: Sequence[FilePart], options: ImageOptions) -> None:
        """Sets it up from where each image lies."""
        self._parts = parts
        super().__init__(name, ids, [part.size for part in parts], options)

    def encoded(self, index: int) -> bytes:
        """See `EncodedImages`."""
        return self._parts[index].read()
