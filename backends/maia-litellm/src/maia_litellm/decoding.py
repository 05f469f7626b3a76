"""Decodes pictures that came from elsewhere, and no more than that."""

from __future__ import annotations

import io

from PIL import Image as PILImage

from maia_core.plugin import BackboneError

FORMATS = ("PNG", "JPEG", "WEBP")
"""What services send; no other decoder of PIL is let near their data."""

MAX_PIXELS = 50_000_000
"""Largest picture that is decoded: services draw up to 4096 x 4096, a hostile file may claim anything."""


def opened(data: bytes) -> PILImage.Image:
    """Decodes a picture that came from elsewhere.

    Raises:
        BackboneError: it is not a picture of a known format, or is too large.
    """
    try:
        picture = PILImage.open(io.BytesIO(data), formats=FORMATS)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise PILImage.DecompressionBombError(f"{width} x {height}")
        picture.load()
    except PILImage.DecompressionBombError as error:
        raise BackboneError(f"the picture has more than {MAX_PIXELS:,} pixels; ask for a smaller size") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise BackboneError(f"the data are not a readable picture ({len(data)} bytes)") from error
    return picture
