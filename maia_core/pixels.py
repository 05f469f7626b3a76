"""From a PIL image of any mode to RGB: one way for all pictures, whoever opened them."""

import contextlib

import numpy as np
from PIL import ExifTags
from PIL import Image as PILImage

from maia_core.errors import UsageError

_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""The `PIL.Image.Transpose` that makes an image upright, by the orientation in its EXIF data."""


def as_rgb(image: PILImage.Image) -> PILImage.Image:
    """Returns an image in mode RGB: upright as its EXIF data says, 16 bits cut to 8, transparency on white.

    The upper byte of 16-bit grey is taken, as Pillow does of 16-bit colours; Pillow's own conversion clips it to white.
    An image in memory of mode I whose values fit into 8 bits has 8. Colour profiles are not applied, as in the loaders
    of torchvision and timm: networks were trained on such pixels.

    Raises:
        UsageError: its pixels have no known range: mode F, or mode I beyond 16 bits.
    """
    source, clear = image, image.info.get("transparency")
    if image.mode[0] in "IF":
        values = np.asarray(image)
        grey = values if source.mode == "I" and source.format is None and values.max() < 256 else values / 256
        known = source.mode != "F" and (source.mode, source.format) != ("I", "TIFF")
        if not known or grey.min() < 0 or grey.max() >= 256:
            raise UsageError(f"pixels of mode {source.mode} have no known range; scale them to 0 to 255, as uint8")
        image = PILImage.fromarray(np.where(values == clear, 255, grey).astype(np.uint8))
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or clear is not None:
        if isinstance(clear, tuple) and max(clear) > 255:  # Of a file with 16 bits per colour.
            (image := image.copy()).info["transparency"] = tuple(level >> 8 for level in clear)
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        image = PILImage.alpha_composite(PILImage.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    with contextlib.suppress(Exception):  # Broken EXIF data says nothing about the pixels.
        image = image.transpose(PILImage.Transpose(_TURNS[source.getexif()[ExifTags.Base.Orientation]]))
    return image
