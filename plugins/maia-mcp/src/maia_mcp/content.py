"""What a client gets of a message: text first, then images that every host takes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal

from mcp.types import ContentBlock, ImageContent, ResourceLink, TextContent
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from maia_core.plugin import Image, ImagePart, Part
from maia_mcp.programs import ID, short

Images = Literal["inline", "link", "text"]
"""How a client gets images: as pixels, as links to resources, or in the describer's words."""

MAX_TOKENS = 20_000
"""Most tokens of a result, also for a host that counts the images' base64 as text."""
TEXT_BYTES, BASE64_CHARACTERS = 2.0, 1.35
"""Bytes of text, and characters of base64, that make one token: fewer than tokenizers need (results 2.5 to 3.9 and
1.43), so that no host counts more than MAIA."""
MAX_TEXT = 24_000
"""Longest text of a result in bytes, so that images fit beside it."""
MAX_START = 60_000
"""Longest text that begins a run in bytes: prose and code, of which a token has 4.2 bytes."""
MAX_SINGLE = 8
"""Most images that are sent one by one; more of them share a contact sheet."""
MAX_SIDE = 512
"""Longest side of a sent image in pixels."""
MIN_SIDE = 160
"""Shortest long side of an image that is sent by itself; smaller ones share a contact sheet."""
MAX_TILES = 64
"""Most images of a contact sheet."""
MAX_NAME = 80
"""Longest name of an image in a link or a list of resources, in characters."""
LADDER = (512, 448, 384, 320, 256, 224, 192, 160, 128, 96, 64)
QUALITIES = (85, 70, 50, 35)
"""Qualities of JPEG that are tried at each side."""
MAX_GAIN = 3.0
"""Worst quality makes a picture shorter than best quality by less than this factor."""

CUT = "\n[{more:,} more characters; the record has all of them. Print or return less at once.]"

LEFT_OUT = "\n[{more:,} links are left out; the list of resources has all of them.]"


def tokens(blocks: Sequence[ContentBlock]) -> float:
    """Estimates the tokens of content for a host that counts base64 as text."""
    text = sum(len(block.text.encode()) for block in blocks if isinstance(block, TextContent))
    links = sum(map(_bytes, (block for block in blocks if isinstance(block, ResourceLink))))
    pixels = sum(len(block.data) for block in blocks if isinstance(block, ImageContent))
    return (text + links) / TEXT_BYTES + pixels / BASE64_CHARACTERS


def content(
    parts: Sequence[Part],
    activations: Callable[[Image], float | None],
    how: Images,
    run: str,
    limit: int = MAX_TEXT,
) -> list[ContentBlock]:
    """Lays out the parts of a message as content of a result.

    Args:
        parts: The parts as a backbone gets them.
        activations: Returns the measured activation of an image, where there is one.
        how: `text` stands for parts whose images a describer has replaced.
        run: Name of the run, for the links to its images.
        limit: Longest text in bytes.
    """
    lines: list[str] = []
    images: dict[str, Image] = {}
    for part in parts:
        if not isinstance(part, ImagePart):
            lines.append(part.text)
            continue
        image = part.image
        images[short(image)] = image
        measured = activations(image)
        shown = "" if measured is None else f", activation {measured:.4g}"
        lines.append(f"[image {short(image)}: {image.title or 'untitled'}{shown}]")
    text = cut("\n".join(lines), limit)
    if how == "link":
        links = [
            ResourceLink(uri=uri(run, name), name=name_of(image), mime_type="image/jpeg")
            for name, image in images.items()
        ]
        bytes_left = MAX_TOKENS * TEXT_BYTES - len(text.encode()) - len(LEFT_OUT) - 10
        ends = accumulate(map(_bytes, links))
        fitting = sum(end <= bytes_left for end in ends)
        note = LEFT_OUT.format(more=len(links) - fitting) if fitting < len(links) else ""
        return [TextContent(text=text + note), *links[:fitting]]
    room = int((MAX_TOKENS - len(text.encode()) / TEXT_BYTES) * BASE64_CHARACTERS) - 1000
    pixels, note = _pictures(images, room)
    return [TextContent(text=text + note), *pixels]


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """Returns a text that fits a result."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    kept = data[:limit].decode("utf-8", "ignore")
    return kept + CUT.format(more=len(text) - len(kept))


def name_of(image: Image) -> str:
    """Returns the name of an image as a resource: its title on one line, cut, or its id."""
    return " ".join(image.title.split())[:MAX_NAME] or short(image)


def _bytes(link: ResourceLink) -> int:
    return len(link.model_dump_json(by_alias=True, exclude_none=True).encode())


def uri(run: str, name: str) -> str:
    """Returns the address of an image as a resource."""
    return f"maia://{run}/images/{name}"


def jpeg(image: PILImage.Image, side: int = MAX_SIDE, quality: int = 85) -> bytes:
    """Returns an image as JPEG; its longer side has at most `side` pixels."""
    out = io.BytesIO()
    _thumbnail(image, side).save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def block(data: bytes) -> ImageContent:
    """Returns the content block of a JPEG file."""
    return ImageContent(data=base64.b64encode(data).decode(), mime_type="image/jpeg")


def _pictures(images: dict[str, Image], room: int) -> tuple[list[ImageContent], str]:
    """Returns the images as blocks of at most `room` characters, and what a reader must know of them."""
    if not images:
        return [], ""
    # One at a time: many large images do not fit into memory together.
    pictures = {name: _thumbnail(image.pil(), MAX_SIDE) for name, image in list(images.items())[:MAX_TILES]}
    if len(images) <= MAX_SINGLE:
        blocks = _fitted(list(pictures.values()), room, MIN_SIDE)
        if blocks:
            return blocks, "\n[The images follow in this order.]" if len(blocks) > 1 else ""
    left = f" of the first {MAX_TILES}" if len(images) > MAX_TILES else ""
    blocks = _fitted([contact_sheet(pictures)], room, 1)
    if blocks:
        return blocks, f"\n[One contact sheet{left} follows; each tile bears the id of its image.]"
    return [], "\n[The images are left out: they do not fit beside this text.]"


def _fitted(pictures: Sequence[PILImage.Image], room: int, least: int) -> list[ImageContent]:
    """Returns the pictures, all of one side and quality, as the largest that have at most `room` characters together.

    Args:
        pictures: The pictures.
        room: Most characters of base64.
        least: Shortest long side of a picture that is made smaller; none are returned where that is still too much.
    """
    longest = max(max(picture.size) for picture in pictures)
    sides = [side for side in LADDER if least <= side < longest]
    for side in [min(longest, MAX_SIDE), *sides]:
        small = [_thumbnail(picture, side) for picture in pictures]
        for quality in QUALITIES:
            blocks = [block(jpeg(picture, side, quality)) for picture in small]
            characters = sum(len(each.data) for each in blocks)
            if characters <= room:
                return blocks
            if characters > room * MAX_GAIN:
                break
    return []


def _thumbnail(picture: PILImage.Image, side: int) -> PILImage.Image:
    small = picture.copy()
    small.thumbnail((side, side), PILImage.Resampling.LANCZOS)
    return small


def contact_sheet(pictures: dict[str, PILImage.Image]) -> PILImage.Image:
    """Returns one image of at most 512 pixels that holds all of them, each with its id below it."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width = MAX_SIDE // columns
    line = max(8, min(14, width // (ID - 2)))
    height = min(width + line, MAX_SIDE // rows)
    sheet = PILImage.new("RGB", (columns * width, rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(line - 2)
    for number, (name, picture) in enumerate(pictures.items()):
        x, y = number % columns * width, number // columns * height
        tile = _thumbnail(picture, min(width - 4, height - line))
        sheet.paste(tile, (x + (width - tile.width) // 2, y))
        draw.text((x + 2, y + height - line), name, "black", font)
    return sheet
