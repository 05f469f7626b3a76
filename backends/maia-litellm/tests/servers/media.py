"""Looks at images as a service does: the base64 must decode, and be an image of the type that is declared."""

from __future__ import annotations

import base64
import binascii
import io
import struct
from dataclasses import dataclass

from PIL import Image as PILImage

TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "HEIF": "image/heic",
}


class BadImage(Exception):
    """Data that is no image, or not of the type that is declared."""


@dataclass(frozen=True)
class Media:
    """One image of a request.

    Attributes:
        data: The bytes of the file.
        media_type: What it really is.
        image: Its pixels.
        encoded: Length of the base64 text.
        animated: Whether it has several frames.
    """

    data: bytes
    media_type: str
    image: PILImage.Image
    encoded: int
    animated: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size


def decoded(text: str, declared: str | None) -> Media:
    """Decodes one image, and compares it with the type that is declared.

    Raises:
        BadImage: says what is wrong.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadImage("the data is not valid base64") from None
    return opened(data, declared, len(text))


def opened(data: bytes, declared: str | None, encoded: int = 0) -> Media:
    """Opens the bytes of one image, see `decoded`."""
    try:
        image = PILImage.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, ValueError, struct.error, PILImage.DecompressionBombError):
        raise BadImage("the data is no image that can be read") from None
    media_type = TYPES.get(image.format or "", "")
    if declared is not None and media_type != declared:
        raise BadImage(f"the image is declared as {declared} but is {media_type or image.format}")
    return Media(data, media_type, image, encoded, getattr(image, "n_frames", 1) > 1)
