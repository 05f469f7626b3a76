"""What all data sets of encoded images share: stable ids, a cheap fingerprint, reading one image."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from maia_core.plugin import Image, UnreadableImage, UsageError, content_id, did_you_mean
from maia_datasets.decode import DECODING, MAX_BYTES, ImageOptions, decode, keep_quiet

SAMPLE_BYTES, SAMPLE_FILES = 64 << 20, 4096
"""How much of the images' content a fingerprint reads."""

_UNPRINTABLE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NUMBER = re.compile("([0-9]+)")


class EncodedImages(ABC):
    """A data set of images that lie somewhere as encoded bytes. Safe in threads: it keeps nothing open.

    Attributes:
        name: See `maia_core.protocols.Dataset`; so are the other two.
        fingerprint: Likewise. It is that of the images, wherever they lie: a copy on another machine has the same.
        ids: Likewise.
    """

    def __init__(self, name: str, ids: Sequence[str], sizes: Sequence[int], options: ImageOptions) -> None:
        """Sets the data set up; `encoded` must work already.

        Args:
            name: Its name.
            ids: A unique id per image, made with `printable` where it is a name that somebody else chose.
            sizes: How many bytes each image has.
            options: How images are decoded.
        """
        keep_quiet()
        self.name, self.ids = name, ids
        self._sizes, self._options = sizes, options
        self.fingerprint = fingerprint(ids, sizes, self._read, options)

    @abstractmethod
    def encoded(self, index: int) -> bytes:
        """Reads the bytes of one image.

        Raises:
            OSError: they cannot be read.
            UnreadableImage: likewise, with an own message.
        """

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        """See `maia_core.protocols.Dataset`."""
        if not 0 <= index < len(self.ids):
            raise IndexError(f"image {index} of {len(self.ids)}")
        return decode(self._read(index), self.ids[index], self._options)

    def _read(self, index: int) -> bytes:
        name, size = self.ids[index], self._sizes[index]
        if size > MAX_BYTES:
            raise UnreadableImage(f"{name}: {size:,} bytes are more than an image may have")
        try:
            return self.encoded(index)
        except OSError as error:
            raise UnreadableImage(f"{name}: {error.strerror or error}") from error


def fingerprint(ids: Sequence[str], sizes: Sequence[int], read: Callable[[int], bytes], options: ImageOptions) -> str:
    """Names a data set: all ids in order, all sizes, and the content of evenly spread images.

    All are read where they have at most `SAMPLE_BYTES` together. An image of a larger set that changes without changing
    its size may go unnoticed, which is rare with compressed ones; in return a set of any size takes about a second.
    Places and times of files are left out, because a copy is the same data set.
    """
    step = max(1, -(-sum(sizes) // SAMPLE_BYTES), -(-len(ids) // SAMPLE_FILES))
    parts = [f"{DECODING} {options.max_megapixels} {options.jpeg_side}"]
    parts += [f"{name} {size}" for name, size in zip(ids, sizes, strict=True)]
    return content_id("\n".join(parts).encode(), *(_content(read, i) for i in range(0, len(ids), step)))


def _content(read: Callable[[int], bytes], index: int) -> bytes:
    try:
        return content_id(read(index)).encode()
    except UnreadableImage:
        return b""


def is_inside(path: str | Path, root: str) -> bool:
    """Returns whether a file or folder, all links resolved, is or lies in the folder whose real path is `root`."""
    return os.path.join(os.path.realpath(path), "").startswith(os.path.join(root, ""))


def printable(name: str) -> str:
    """Returns a name as an id: the same on every machine, on one line, distinct for distinct names.

    Control characters, marks that turn the direction of writing and undecodable bytes are escaped, and so is the
    backslash itself.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), name)


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Returns a sort key that puts `2.png` before `10.png`."""
    parts = enumerate(_NUMBER.split(name))
    return [(len(p.lstrip("0")), p.lstrip("0")) if i % 2 else (0, p) for i, p in parts], name


def existing(path: Path, what: str, key: str = "dataset.path") -> Path:
    """Returns a path that the user wrote, `~` expanded.

    Raises:
        UsageError: there is nothing, and the message names what is there; or no file or folder.
    """
    path = path.expanduser()
    if not path.exists():
        beside: Iterable[str] = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UsageError(f"there is no {path}; set {key} to {what}.{did_you_mean(path.name, beside)}")
    if not (path.is_file() or path.is_dir()):
        raise UsageError(f"{path} is a pipe or a device; set {key} to {what}")
    return path
