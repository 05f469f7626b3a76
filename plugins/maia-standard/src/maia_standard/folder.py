"""The data set `folder`: a folder of image files, with or without class folders."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PILImage
from PIL import ImageOps
from pydantic import Field

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.errors import UnreadableImage, UsageError
from maia_core.types import Image, content_id

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is decoded; other decoders see few files and many attacks."""


class FolderDataset:
    """Image files below a folder, in the order of their paths; a file's own folder names its class.

    Every file counts: one that is no image, or is broken, raises `UnreadableImage` when it is read, so that it is
    skipped and named. Links are not followed; hidden files are left out.
    """

    class Config(PluginConfig):
        """Options of the data set `folder`."""

        path: Path
        """The folder."""
        max_megapixels: float = Field(64.0, gt=0)
        """Larger images are not decoded: a small file can unpack to any size."""

    def __init__(self, config: Config, context: Context) -> None:
        root = config.path
        if not root.is_dir():
            raise UsageError(f"the data set folder {root} does not exist; set dataset.path to a folder of images")
        self._root, self._max_pixels = root, int(config.max_megapixels * 1e6)
        files = sorted(_files(root))
        if not files:
            raise UsageError(f"the data set folder {root} is empty; put images into it, or choose another")
        self.name = root.resolve().name
        self.ids = [file.relative_to(root).as_posix() for file in files]
        stats = "\n".join(
            f"{i} {f.stat().st_size} {f.stat().st_mtime_ns}" for i, f in zip(self.ids, files, strict=True)
        )
        self.fingerprint = content_id(str(root.resolve()).encode(), stats.encode())

    def __len__(self) -> int:
        """Returns the number of files."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        """Decodes one file, turned as its EXIF says."""
        if not 0 <= index < len(self.ids):
            raise IndexError(f"image {index} of {len(self.ids)}")
        name = self.ids[index]
        try:
            with warnings.catch_warnings(), PILImage.open(self._root / name, formats=FORMATS) as file:
                warnings.simplefilter("ignore")
                if file.width * file.height > self._max_pixels:
                    raise UnreadableImage(
                        f"{name}: {file.width}x{file.height} pixels are more than dataset.max_megapixels"
                    )
                return Image.from_pil(ImageOps.exif_transpose(file), id=name)
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError, PILImage.DecompressionBombError) as error:
            raise UnreadableImage(f"{name}: {error}") from error

    def concepts(self, index: int) -> Sequence[str]:
        """Returns the name of the file's folder as its class; nothing for files directly in the data set's folder."""
        parent = Path(self.ids[index]).parent.name
        return [parent] if parent else []


def _files(root: Path) -> list[Path]:
    return [
        Path(place) / name
        for place, _, names in os.walk(root)
        for name in names
        if not name.startswith(".")
        and not (Path(place) / name).is_symlink()
        and not any(part.startswith(".") for part in Path(place).relative_to(root).parts)
    ]
