"""Encoded bytes, which nobody has checked, to an image: upright, eight bits, RGB; or `UnreadableImage`."""

from __future__ import annotations

import io
import warnings

from PIL import Image as PILImage
from PIL import UnidentifiedImageError
from pydantic import Field

from maia_core.plugin import Image, ImageStore, PluginConfig, UnreadableImage, one_line

DECODING = 1
"""Counts the changes of the pixels that a file is decoded to."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is decoded; other decoders see few files and many attacks."""

MAX_BYTES = 512 << 20
"""A larger file is not read into memory."""

MAX_MEGAPIXELS = ImageStore.MAX_PIXELS / 1e6


class ImageOptions(PluginConfig):
    """Options of every data set of encoded images."""

    max_megapixels: float = Field(MAX_MEGAPIXELS, gt=0, le=MAX_MEGAPIXELS)
    """Larger images are not decoded: a small file can unpack to any size. At most 64: what a run's record takes."""
    jpeg_side: int = Field(0, ge=0)
    """Decode JPEGs at 1/2, 1/4 or 1/8 of their size where no side gets shorter than this; 0: at full size. Large
    photographs are read several times faster, with slightly other pixels than a full decoding has after a resize."""


def decode(encoded: bytes, name: str, options: ImageOptions) -> Image:
    """Decodes one file: its first frame, turned as its EXIF data says, 16 bits cut to 8, transparency on white.

    Args:
        encoded: The file's bytes.
        name: The image's id, for its provenance and for errors.
        options: What is refused and what is reduced.

    Raises:
        UnreadableImage: no image of a known format, broken or too large.
    """
    try:
        with PILImage.open(io.BytesIO(encoded), formats=FORMATS) as file:
            if file.width * file.height > options.max_megapixels * 1e6:
                size = f"{file.width}x{file.height}"
                raise UnreadableImage(f"{name}: {size} pixels are more than dataset.max_megapixels allows")
            if options.jpeg_side:
                file.draft(None, (options.jpeg_side, options.jpeg_side))  # Only the JPEG decoder heeds it.
            file.load()
            return Image.from_pil(file, id=name)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(f"{name} is not an image of a known format ({', '.join(FORMATS)})") from None
    except Exception as error:  # Decoders raise whatever they stumble over in a broken file, IndexError among it.
        raise UnreadableImage(f"{name}: {one_line(error)}") from error


def keep_quiet() -> None:
    """Hushes Pillow's remarks about odd files, which say nothing of which file.

    Done once, not around each call: `warnings.catch_warnings` is not safe in threads.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
