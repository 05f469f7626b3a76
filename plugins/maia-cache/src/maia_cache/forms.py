"""How cached values are written: pictures as PNG, texts as JSON, arrays as NPZ; each file holds its key and a hash."""

from __future__ import annotations

import io
import json
import math
import struct
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import PngImagePlugin

from maia_core.plugin import Image, content_id

T = TypeVar("T")

Arrays = dict[str, NDArray[Any]]

MAX_BYTES = 256_000_000
"""Largest file that is read."""

MAX_PIXELS = 50_000_000
"""Largest picture that is kept or decoded, in pixels: a damaged or hostile file may claim any size."""

NOTE = "maia"
"""The text field of a PNG file that holds what belongs to the picture."""


class Picture(NamedTuple):
    """An image that an engine made, and its warning (empty: none). The image's title is not kept."""

    image: Image
    warning: str = ""


class Form(Protocol[T]):
    """How one kind of value becomes a file.

    Attributes:
        suffix: Of the file's name.
    """

    suffix: str

    def encode(self, key: str, value: T) -> bytes:
        """Returns the file's content.

        Raises:
            ValueError: the value is too large to be kept.
        """

    def decode(self, key: str, data: bytes) -> T:
        """Returns the value that was kept under `key`, checked against the hash beside it.

        Raises:
            Exception: the file is broken, or belongs to another key; a decoder raises what the damage leads to.
        """


class PictureForm:
    """A PNG file that any viewer opens; key, hash, warning, `shows` and provenance are in a text field of it."""

    suffix = ".png"

    def encode(self, key: str, value: Picture) -> bytes:
        """See `Form`."""
        image, warning = value
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels")
        note = {"key": key, "id": image.id, "warning": warning, "shows": image.shows, "provenance": image.provenance}
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt(NOTE, json.dumps(note))
        file = io.BytesIO()
        image.pil().save(file, "PNG", pnginfo=texts, compress_level=1)
        return file.getvalue()

    def decode(self, key: str, data: bytes) -> Picture:
        """See `Form`."""
        # The size stands at byte 16. Pillow would warn of a large picture, and `catch_warnings` is not safe in threads.
        if math.prod(struct.unpack_from(">II", data, 16)) > MAX_PIXELS:
            raise ValueError("too large")
        picture = PILImage.open(io.BytesIO(data), formats=["PNG"])
        if picture.mode != "RGB" or picture.width * picture.height > MAX_PIXELS:
            raise ValueError(f"{picture.mode} {picture.size}")
        picture.load()
        note = json.loads(picture.info[NOTE])
        image = Image.from_pixels(np.asarray(picture))
        if (note["key"], note["id"]) != (key, image.id) or not isinstance(note["warning"], str):
            raise ValueError("it was kept under another key, or has changed since")
        known = image.model_copy(update={"provenance": dict(note["provenance"])}).bind(image.pixels)
        return Picture(known.showing(str(note.get("shows", ""))), note["warning"])


class TextForm:
    """A JSON file with the text, its key and its hash."""

    suffix = ".json"

    def encode(self, key: str, value: str) -> bytes:
        """See `Form`."""
        return json.dumps({"key": key, "id": _hash(value), "text": value}).encode()

    def decode(self, key: str, data: bytes) -> str:
        """See `Form`."""
        note = json.loads(data)
        text = note["text"]
        if not isinstance(text, str) or (note["key"], note["id"]) != (key, _hash(text)):
            raise ValueError("it was kept under another key, or has changed since")
        return text


class ArraysForm:
    """An NPZ file of named arrays, beside them their key and hash."""

    suffix = ".npz"

    def encode(self, key: str, value: Arrays) -> bytes:
        """See `Form`."""
        file = io.BytesIO()
        if any(array.dtype.hasobject for array in value.values()):
            raise ValueError("an array of objects")
        # The names of arrays get a prefix: `file` is a parameter of `savez`.
        named: dict[str, Any] = {f"_{name}": array for name, array in value.items()}
        named[NOTE] = np.array([key, _hash_of_arrays(value)])
        np.savez(file, **named)
        return file.getvalue()

    def decode(self, key: str, data: bytes) -> Arrays:
        """See `Form`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            note = archive[NOTE].tolist()
            arrays = {name[1:]: archive[name] for name in archive.files if name != NOTE}
        if note != [key, _hash_of_arrays(arrays)]:
            raise ValueError("it was kept under another key, or has changed since")
        return arrays


def _hash_of_arrays(arrays: Arrays) -> str:
    parts = ((f"{name} {a.dtype} {a.shape}".encode(), np.ascontiguousarray(a).tobytes()) for name, a in arrays.items())
    return content_id(*(part for pair in parts for part in pair))


def _hash(text: str) -> str:
    return content_id(text.encode("utf-8", "surrogatepass"))


PICTURE = PictureForm()
TEXT = TextForm()
ARRAYS = ArraysForm()
# A form is invariant in what it reads.
FORMS: dict[str, Form[object]] = {form.suffix: form for form in (PICTURE, TEXT, ARRAYS)}  # type: ignore[misc]
"""Every form by its suffix."""
