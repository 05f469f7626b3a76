"""Carries the images of a conversation within a model's limits: made smaller, padded or tiled, and always said so."""

from __future__ import annotations

import base64
import functools
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont
from pydantic import Field

from maia_core.plugin import BackboneError, Data, Image, ImagePart, Message

TILES = (1, 4, 9, 16)
"""How many images one sheet may hold."""

QUALITIES = (95, 85, 70)
"""JPEG qualities that are tried, in turn, where a PNG has too many bytes."""

CACHED_PICTURES = 512
"""How many encoded pictures are kept: a conversation is sent again at every turn. About 100 kB each at 224 pixels."""


class ImageLimits(Data):
    """What a model takes in one request; None: no limit."""

    count: int | None = Field(None, gt=0)
    """Most pictures; more images than that are tiled onto numbered sheets."""
    min_side: int = Field(1, gt=0)
    """Narrower images are padded with grey."""
    max_side: int | None = Field(None, gt=0)
    """Larger images are made smaller."""
    max_bytes: int | None = Field(None, gt=0)
    """Most bytes of one encoded picture, before base64; where PNG has more, JPEG is sent, then a smaller picture."""
    total_bytes: int | None = Field(None, gt=0)
    """Most bytes of all encoded pictures of a request together."""


@dataclass(frozen=True)
class Picture:
    """One encoded picture, ready to be sent.

    Attributes:
        data: The bytes of the file.
        format: What kind of file.
        width: In pixels.
        height: In pixels.
    """

    data: bytes
    format: Literal["png", "jpeg"]
    width: int
    height: int

    @property
    def media_type(self) -> str:
        """Such as `image/png`."""
        return f"image/{self.format}"

    @functools.cached_property
    def base64(self) -> str:
        """The bytes in base64, encoded once."""
        return base64.b64encode(self.data).decode()

    @property
    def data_uri(self) -> str:
        """The picture as a `data:` URI."""
        return f"data:{self.media_type};base64,{self.base64}"

    def pil(self) -> PILImage.Image:
        """The pixels, as a PIL image of mode RGB."""
        return PILImage.open(io.BytesIO(self.data)).convert("RGB")


@dataclass(frozen=True)
class PackedMessage:
    """A message whose images are within the limits; notes on what was done to them are among its texts."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture, ...]

    @property
    def text(self) -> str:
        """All texts, a line each."""
        return "\n".join(part for part in self.parts if isinstance(part, str))


def pack(messages: Sequence[Message], limits: ImageLimits, most: int | None = None) -> list[PackedMessage]:
    """Brings the images of a conversation within a model's limits; not one is left out.

    Layout and bytes follow from `most` and not from how many images there are by now, and a sheet ends with its
    message: what was sent before is packed in the same way when more follows, and a provider's prompt cache holds. Only
    where very many messages hold an image or two each, old ones come to share sheets, many messages at a time.

    Args:
        messages: The conversation.
        limits: What one request may hold.
        most: Most images that a request of this run may come to hold (`context_policy.images`); None: no more than now.

    Raises:
        BackboneError: there are more images than even tiled sheets hold.
    """
    images = [image for message in messages for image in message.images]
    if limits.count is not None:
        most = min(most or 0, limits.count * TILES[-1])
    most = max(most or 0, len(images), 1)
    sent = min(most, limits.count or most)
    max_bytes = limits.max_bytes
    if limits.total_bytes is not None:
        max_bytes = min(max_bytes or limits.total_bytes, limits.total_bytes // sent)
    pictures = _pictures(images, _groups([len(message.images) for message in messages], most, sent), limits, max_bytes)
    packed = []
    for message in messages:
        parts: list[str | Picture] = []
        for part in message.parts:
            parts += next(pictures) if isinstance(part, ImagePart) else [part.text]
        packed.append(PackedMessage(message.role, tuple(parts)))
    return packed


def _groups(counts: Sequence[int], most: int, sent: int) -> list[int]:
    """Returns how many images each picture shows, in their order.

    Args:
        counts: Images of each message.
        most: Most images of any request.
        sent: Most pictures of any request.
    """
    total = sum(counts)
    if most == sent:
        return [1] * total
    if total > (largest := sent * TILES[-1]):
        raise BackboneError(
            f"the conversation holds {total} images, but the model takes {sent}, or {largest} on sheets; set "
            f"context_policy.images={largest} or less"
        )
    shown = [count for count in counts if count]
    step = -(-sent // 2)  # Large, so that the cache breaks seldom.
    for joined in range(0, len(shown) + step, step):
        groups = _split(sum(shown[:joined]), most, sent)
        for count in shown[joined:]:
            groups += _split(count, count, max(1, count * sent // most))
        if len(groups) <= sent:
            break
    return groups


def _split(count: int, images: int, pictures: int) -> list[int]:
    """Splits `count` images over sheets with as many tiles as it takes to bring `images` onto `pictures` sheets."""
    tiles = next((tiles for tiles in TILES if images <= tiles * pictures), TILES[-1])
    return [min(tiles, count - start) for start in range(0, count, tiles)]


def _pictures(
    images: Sequence[Image], groups: Sequence[int], limits: ImageLimits, max_bytes: int | None
) -> Iterator[list[str | Picture]]:
    """Yields what stands for each image: itself, or where to find it, and behind the last of a sheet the sheet."""
    start = sheet = 0
    for count in groups:
        group = images[start : start + count]
        start += count
        if count == 1:
            picture, note = _encoded(group[0], limits.min_side, limits.max_side, max_bytes)
            yield [note, picture] if note else [picture]
            continue
        sheet += 1
        for tile in range(1, count):
            yield [f"[this image is tile {tile} of sheet {sheet}]"]
        yield [
            f"[this image is tile {count} of sheet {sheet}]",
            f"[sheet {sheet}: {count} images side by side, numbered from left to right, then down]",
            _sheet(tuple(group), limits.max_side or 1024, max_bytes),
        ]


@functools.lru_cache(CACHED_PICTURES)
def _encoded(image: Image, min_side: int, max_side: int | None, max_bytes: int | None) -> tuple[Picture, str]:
    """Encodes one image, and says what had to be done to it. Cached by the image's content hash."""
    pil, notes = image.pil(), []
    largest = max(pil.size)
    if max_side is not None and largest > max_side:
        pil = _resized(pil, max_side / largest)
        notes.append(f"made smaller, from {image.width} x {image.height} to {pil.width} x {pil.height} pixels")
    if min(pil.size) < min_side:
        padded = PILImage.new("RGB", (max(pil.width, min_side), max(pil.height, min_side)), (128, 128, 128))
        padded.paste(pil, ((padded.width - pil.width) // 2, (padded.height - pil.height) // 2))
        pil = padded
        notes.append("padded with grey")
    picture, note = _within(pil, max_bytes)
    notes += [note] if note else []
    return picture, f"[the next image was {', '.join(notes)}]" if notes else ""


def _within(pil: PILImage.Image, max_bytes: int | None) -> tuple[Picture, str]:
    """Encodes a picture losslessly where its bytes may be as many as that takes."""
    picture = _picture(pil, "png")
    if max_bytes is None or len(picture.data) <= max_bytes:
        return picture, ""
    scale = 1.0
    while True:
        smaller = _resized(pil, scale)
        for quality in QUALITIES:
            picture = _picture(smaller, "jpeg", quality=quality)
            if len(picture.data) <= max_bytes:
                note = f"compressed to {len(picture.data) // 1024} kB"
                return picture, note + (f" at {smaller.width} x {smaller.height} pixels" if scale < 1 else "")
        if max(smaller.size) <= 16:
            raise BackboneError(f"an image does not fit into {max_bytes} bytes; set context_policy.images lower")
        scale *= 0.7


def _picture(pil: PILImage.Image, kind: Literal["png", "jpeg"], **options: int) -> Picture:
    buffer = io.BytesIO()
    pil.save(buffer, kind, **({"compress_level": 3} if kind == "png" else options))
    return Picture(buffer.getvalue(), kind, pil.width, pil.height)


def _resized(pil: PILImage.Image, scale: float) -> PILImage.Image:
    if scale == 1:
        return pil
    size = (max(1, round(pil.width * scale)), max(1, round(pil.height * scale)))
    return pil.resize(size, PILImage.Resampling.LANCZOS)


@functools.lru_cache(64)
def _sheet(images: tuple[Image, ...], side: int, max_bytes: int | None) -> Picture:
    """Lays images on a square sheet, each with its number above it."""
    columns = math.isqrt(len(images) - 1) + 1
    cell = side // columns
    strip = max(12, cell // 10)
    sheet = PILImage.new("RGB", (cell * columns, cell * -(-len(images) // columns)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(strip - 2)
    for number, image in enumerate(images):
        left, top = cell * (number % columns), cell * (number // columns)
        room = cell - strip - 2
        tile = image.pil()
        tile = _resized(tile, room / max(tile.size))
        draw.text((left + 3, top), str(number + 1), fill="black", font=font)
        sheet.paste(tile, (left + (cell - tile.width) // 2, top + strip + (room - tile.height) // 2))
    return _within(sheet, max_bytes)[0]
