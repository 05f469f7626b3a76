"""Images that lie in files: each is a file, or a part of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from maia_datasets.decode import ImageOptions
from maia_datasets.encoded import EncodedImages


class Place(NamedTuple):
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
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            found = file.read(self.size)
        if len(found) < self.size:
            raise OSError("the file ends before it")
        return found


class StoredImages(EncodedImages):
    """A data set of images that lie in files."""

    def __init__(self, name: str, ids: Sequence[str], places: Sequence[Place], options: ImageOptions) -> None:
        """Sets it up from where each image lies."""
        self._places = places
        super().__init__(name, ids, [place.size for place in places], options)

    def encoded(self, index: int) -> bytes:
        """See `EncodedImages`."""
        return self._places[index].read()
