"""The data set `folder`: a folder of image files, with or without class folders."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as PILImage
from pydantic import Field

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.errors import UnreadableImage, UsageError, did_you_mean, one_line
from maia_core.types import Image, content_id

DECODING = 1
"""Counts the changes of the pixels that a file is decoded to."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is decoded; other decoders see few files and many attacks."""

MAX_BYTES = 512 << 20
"""A larger file is not read into memory."""

SAMPLE_BYTES, SAMPLE_FILES = 64 << 20, 4096
"""How much of the files' content a fingerprint reads."""


class FolderDataset:
    """Image files below a folder, in natural order (`2.png` before `10.png`); a file's own folder names its class.

    Every file counts: one that is no image, or is broken, raises `UnreadableImage` when it is read, so that it is
    skipped and named. Hidden files are left out, and links, unless the option says otherwise.
    """

    class Config(PluginConfig):
        """Options of the data set `folder`."""

        path: Path
        """The folder."""
        follow_links: bool = False
        """Read files and folders that are links, too. A link may lead anywhere, so not those of a stranger's folder."""
        max_megapixels: float = Field(64.0, gt=0, le=178)
        """Larger images are not decoded: a small file can unpack to any size. (178 is where Pillow refuses.)"""
        jpeg_side: int = Field(0, ge=0)
        """Decode JPEGs at 1/2, 1/4 or 1/8 of their size where no side gets shorter than this; 0: at full size. Large
        photographs are read several times faster, with slightly other pixels."""

    def __init__(self, config: Config, context: Context) -> None:
        keep_quiet()
        root = _existing(config.path)
        found = list(files(root, config.follow_links, context.warn))
        if not found:
            raise UsageError(
                f"the data set folder {root} is empty; put images into it, or choose another "
                "(if it holds links, set dataset.follow_links=true)"
            )
        self._root, self._config = root, config
        self._files = [name for name, _ in found]
        self.name = root.resolve().name or "folder"
        self.ids = [printable(name) for name in self._files]
        self.fingerprint = self._fingerprint([size for _, size in found])

    def __len__(self) -> int:
        """Returns the number of files."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        """See `maia_core.protocols.Dataset`."""
        if not 0 <= index < len(self.ids):
            raise IndexError(f"image {index} of {len(self.ids)}")
        return decode(self._read(index), self.ids[index], self._config.max_megapixels, self._config.jpeg_side)

    def concepts(self, index: int) -> Sequence[str]:
        """Returns the name of the file's folder as its class; nothing for files directly in the data set's folder."""
        parent = Path(self.ids[index]).parent.name
        return [parent] if parent else []

    def _read(self, index: int) -> bytes:
        name = self.ids[index]
        try:
            with open(self._root / self._files[index], "rb") as file:
                if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                    raise UnreadableImage(f"{name}: {size:,} bytes are more than an image may have")
                return file.read()
        except OSError as error:
            raise UnreadableImage(f"{name}: {error.strerror or error}") from error

    def _fingerprint(self, sizes: list[int]) -> str:
        """Names the data set: all ids in order, all sizes, and the content of evenly spread files.

        All are read where they have at most `SAMPLE_BYTES` together. A file of a larger set that changes without
        changing its size may go unnoticed, which is rare with compressed images; in return a set of any size takes
        about a second. Places and times of files are left out: a copy on another machine is the same data set.
        """
        step = max(1, -(-sum(sizes) // SAMPLE_BYTES), -(-len(sizes) // SAMPLE_FILES))
        parts = [f"{DECODING} {self._config.max_megapixels} {self._config.jpeg_side}"]
        parts += [f"{name} {size}" for name, size in zip(self.ids, sizes, strict=True)]
        return content_id("\n".join(parts).encode(), *(self._content(i) for i in range(0, len(sizes), step)))

    def _content(self, index: int) -> bytes:
        try:
            return content_id(self._read(index)).encode()
        except UnreadableImage:
            return b""


def _existing(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_dir():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        fault = "is a file" if path.exists() else "does not exist"
        hint = "" if path.exists() else did_you_mean(path.name, beside)
        raise UsageError(f"the data set folder {path} {fault}; set dataset.path to a folder of images.{hint}")
    return path


# --- names and order -------------------------------------------------------------------------------------------------

_UNPRINTABLE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NUMBER = re.compile("([0-9]+)")


def files(root: Path, follow_links: bool, warn: Callable[[str], None]) -> Iterator[tuple[str, int]]:
    """Yields path below `root` and size of each regular file, in natural order; a folder is entered once only."""
    entered: set[tuple[int, int]] = set()
    waiting: list[tuple[str, int | None]] = [("", None)]  # Without a size: a folder.
    while waiting:
        place, size = waiting.pop()
        if size is not None:
            yield place, size
            continue
        try:
            stat = os.stat(root / place)
            if (stat.st_dev, stat.st_ino) in entered:
                continue
            entered.add((stat.st_dev, stat.st_ino))
            with os.scandir(root / place) as entries:
                found = [_entry(place, e, follow_links) for e in entries if not e.name.startswith(".")]
        except OSError as error:
            warn(f"the folder {printable(place) or root} cannot be read and was left out: {error.strerror}")
            continue
        waiting += sorted((entry for entry in found if entry), key=lambda entry: natural(entry[0]), reverse=True)


def _entry(place: str, entry: os.DirEntry[str], follow_links: bool) -> tuple[str, int | None] | None:
    path = f"{place}/{entry.name}" if place else entry.name
    if entry.is_dir(follow_symlinks=follow_links):
        return path, None
    # Pipes and devices are left out: reading one may never end.
    return (path, entry.stat().st_size) if entry.is_file(follow_symlinks=follow_links) else None


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Returns a sort key that puts `2.png` before `10.png`."""
    parts = enumerate(_NUMBER.split(name))
    return [(len(p.lstrip("0")), p.lstrip("0")) if i % 2 else (0, p) for i, p in parts], name


def printable(name: str) -> str:
    """Returns a name as an id: the same on every machine, on one line, distinct for distinct names.

    Control characters, marks that turn the direction of writing and undecodable bytes are escaped, and so is the
    backslash itself.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), name)


# --- decoding --------------------------------------------------------------------------------------------------------

_TURNS = {
    2: PILImage.Transpose.FLIP_LEFT_RIGHT,
    3: PILImage.Transpose.ROTATE_180,
    4: PILImage.Transpose.FLIP_TOP_BOTTOM,
    5: PILImage.Transpose.TRANSPOSE,
    6: PILImage.Transpose.ROTATE_270,
    7: PILImage.Transpose.TRANSVERSE,
    8: PILImage.Transpose.ROTATE_90,
}
"""What makes an image upright, by the orientation in its EXIF data."""


def decode(encoded: bytes, name: str, max_megapixels: float, jpeg_side: int) -> Image:
    """Decodes one file: its first frame, turned as its EXIF data says, 16 bits cut to 8, transparency on white.

    Args:
        encoded: The file's bytes, which nobody has checked.
        name: The image's id, for its provenance and for errors.
        max_megapixels: Larger images are refused.
        jpeg_side: JPEGs are reduced while decoding, to no less than this; 0: not.

    Raises:
        UnreadableImage: no image of a known format, broken or too large.
    """
    try:
        with PILImage.open(io.BytesIO(encoded), formats=FORMATS) as file:
            if file.width * file.height > max_megapixels * 1e6:
                size = f"{file.width}x{file.height}"
                raise UnreadableImage(f"{name}: {size} pixels are more than dataset.max_megapixels allows")
            if jpeg_side:
                file.draft(None, (jpeg_side, jpeg_side))  # Only the JPEG decoder heeds it.
            file.load()
            return Image.from_pil(_eight_bits(_upright(file), name), id=name)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(f"{name} is no image of a known format ({', '.join(FORMATS)})") from None
    except Exception as error:  # Decoders raise whatever they stumble over in a broken file, IndexError among it.
        raise UnreadableImage(f"{name}: {one_line(error)}") from error


def keep_quiet() -> None:
    """Hushes Pillow's remarks about odd files, which say nothing of which file.

    Done once, not around each call: `warnings.catch_warnings` is not safe in threads.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _upright(image: PILImage.Image) -> PILImage.Image:
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Broken EXIF data says nothing about the pixels. (`ImageOps.exif_transpose` would fail.)
        return image
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: PILImage.Image, name: str) -> PILImage.Image:
    """Takes the upper byte of 16-bit grey, as Pillow does of 16-bit colours; converting would clip it to white."""
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise UnreadableImage(f"{name}: its pixels have 32 bits and no known range; save it with 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image
