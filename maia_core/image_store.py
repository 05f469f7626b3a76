"""The pixels of a run folder, by content hash."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.errors import RecordError, ToolError
from maia_core.files import open_plain, write_atomically
from maia_core.image import Image


class ImageStore:
    """The pixels of a run, by content hash. Images of a run folder are read with every size checked."""

    MAX_PIXELS = 64_000_000
    """Largest image that is read; no data set decodes a larger one."""
    MAX_BYTES = 2 << 30
    """Most bytes of the images of one run; beyond it, calls of programs that bring more images are refused."""
    _ID = re.compile(r"[0-9a-f]{32}")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saved: set[str] = set()  # Names of files.
        self.bytes = 0

    def take_stock(self) -> None:
        """Counts what the folder holds already: the images of a run that goes on are not new."""
        for file in os.scandir(self.folder):
            self.bytes += file.stat(follow_symlinks=False).st_size
            if file.is_file(follow_symlinks=False):
                self._saved.add(file.name)

    def save(self, image: Image) -> None:
        """Writes an image (and the clean one below a mask) unless it is there already."""
        if image.clean is not None:
            self.save(image.clean)
        name = self._name(image.id, image.clean is not None)
        if name in self._saved:
            return
        if not (path := self.folder / name).exists():
            mask = image.mask()
            pil = PILImage.fromarray(image.pixels()) if mask is None else PILImage.fromarray(mask)
            buffer = io.BytesIO()
            pil.save(buffer, "PNG", compress_level=1)
            write_atomically(path, buffer.getvalue())
            self.bytes += buffer.tell()
        self._saved.add(name)

    def on_disk(self, image: Image) -> Image:
        """Writes an image, and returns a handle that reads it from the folder: no pixels stay in memory.

        Raises:
            ToolError: the images of the run fill `MAX_BYTES`.
        """
        self.check_room([image])
        self.save(image)
        clean = image.clean and self.on_disk(image.clean)
        load = partial(self.load, image.id, clean is not None, image.width, image.height)
        return image.model_copy(update={"clean": clean}).bind(load)

    def check_room(self, images: Iterable[Image]) -> None:
        """Refuses images for which the run has no room.

        Raises:
            ToolError: they, and the images of the run, have more than `MAX_BYTES`.
        """
        names = {self._name(image.id, image.clean is not None): image for image in images}
        new = {name: 3 * image.width * image.height for name, image in names.items() if name not in self._saved}
        if new and self.bytes + sum(new.values()) > self.MAX_BYTES:
            raise ToolError(
                f"the images of this run have {self.bytes >> 20} MiB of at most {self.MAX_BYTES >> 20}; "
                f"{len(new)} more do not fit; continue with images that the run has"
            )

    def load(self, image_id: str, masked: bool, width: int, height: int) -> NDArray[Any]:
        """Reads pixels, uint8 (height, width, 3), or a mask, bool (height, width).

        Raises:
            RecordError: the file is missing, is a link, is not a PNG or does not have the size that the record says.
        """
        path = self.folder / self._name(image_id, masked)
        try:
            if path.parent.is_symlink():
                raise RecordError(f"{path.parent} is a link; a run folder holds plain files and folders only")
            with open_plain(path) as opened, PILImage.open(opened, formats=["PNG"]) as file:
                if file.size != (width, height):
                    raise RecordError(f"{path} has {file.width}x{file.height} pixels; its record says {width}x{height}")
                if width * height > self.MAX_PIXELS:
                    raise RecordError(f"{path} has {width}x{height} pixels; at most {self.MAX_PIXELS:,} are read")
                return np.asarray(file.convert("1" if masked else "RGB"))
        except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
            raise RecordError(f"image {image_id} of the run cannot be read: {error}") from error

    def _name(self, image_id: str, masked: bool) -> str:
        if not self._ID.fullmatch(image_id):
            raise RecordError(f"'{image_id[:40]}' is not an image id")
        return f"{image_id}.mask.png" if masked else f"{image_id}.png"
