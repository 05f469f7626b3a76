"""Keeps the pictures that were paid for: services take no seed, so the same picture comes from here or never again.

An album is a folder of PNG files named by what they were asked with. It grows without a bound; deleting it (or files in
it) is safe, what is missing is drawn anew.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image as PILImage
from PIL import PngImagePlugin

from maia_core.errors import BackboneError
from maia_core.files import write_atomically

FORMATS = ("PNG", "JPEG", "WEBP")
"""What services send; no other decoder of PIL is let near their data."""

MOST_PIXELS = 50_000_000
"""Largest picture that is decoded: services draw up to 4096 x 4096, a hostile file may claim anything."""

REVISED = "revised_prompt"
"""The text field of the PNG file that holds what the service says it drew."""


class Drawn(NamedTuple):
    """A picture, and what the service says that it drew (empty: it says nothing)."""

    picture: PILImage.Image
    revised: str = ""


def opened(data: bytes) -> PILImage.Image:
    """Decodes a picture that came from elsewhere.

    Raises:
        BackboneError: it is no picture of a known format, or is too large.
    """
    try:
        picture = PILImage.open(io.BytesIO(data), formats=FORMATS)
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise PILImage.DecompressionBombError(f"{width} x {height}")
        picture.load()
    except PILImage.DecompressionBombError as error:
        raise BackboneError(f"the picture has more than {MOST_PIXELS:,} pixels; ask for a smaller size") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise BackboneError(f"what came is no picture that can be read ({len(data)} bytes)") from error
    return picture


class Album:
    """A folder of pictures."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Drawn | None:
        """Returns a picture; None if there is none, or its file is broken."""
        try:
            picture = opened((self._folder / f"{name}.png").read_bytes())
        except (OSError, BackboneError):
            return None
        return Drawn(picture, str(picture.info.get(REVISED, "")))

    def keep(self, name: str, drawn: Drawn) -> Drawn:
        """Keeps a picture, unless another run has kept one under this name meanwhile; returns the one that is kept.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        if (first := self.find(name)) is not None:
            return first
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt(REVISED, drawn.revised)
        file = io.BytesIO()
        drawn.picture.save(file, "PNG", pnginfo=texts, compress_level=3)
        write_atomically(self._folder / f"{name}.png", file.getvalue())
        return drawn
