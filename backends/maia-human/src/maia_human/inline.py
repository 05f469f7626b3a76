"""Images in a terminal: real pixels where `textual-image` finds that it can, else two pixels a character."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from PIL import Image as PILImage

GAP = 2
"""Columns between images."""
RESET = "\x1b[0m"


class Drawer(Protocol):
    """Draws a row of images.

    Attributes:
        columns: How many columns one image takes.
    """

    columns: int

    def row(self, images: Sequence[PILImage.Image]) -> str:
        """Returns what to write for images side by side, with a newline at the end."""


def drawer() -> Drawer | None:
    """Returns the best way to draw on this terminal; None where it shows no colours or is none."""
    if not (sys.stdout and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        return None
    found = _protocol()
    if found is not None:
        return Pixels(found)
    deep = os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    return HalfBlocks() if deep and "NO_COLOR" not in os.environ else None


class HalfBlocks:
    """Draws with half blocks: the upper half of a character in one colour, the lower half in another."""

    columns = 36

    def row(self, images: Sequence[PILImage.Image]) -> str:
        """See `Drawer`."""
        drawn = [list(self._lines(image)) for image in images]
        blank = " " * self.columns
        rows = max(map(len, drawn))
        padded = [lines + [blank] * (rows - len(lines)) for lines in drawn]
        return "".join((" " * GAP).join(line) + "\n" for line in zip(*padded, strict=True))

    def _lines(self, image: PILImage.Image) -> Iterator[str]:
        width, height = _fitted(image, self.columns, self.columns)
        pixels = image.convert("RGB").resize((width, height + height % 2), PILImage.Resampling.LANCZOS).load()
        assert pixels is not None
        margin = " " * (self.columns - width)
        for y in range(0, height, 2):
            cells = (f"{_colour(38, pixels[x, y])}{_colour(48, pixels[x, y + 1])}▀" for x in range(width))
            yield "".join(cells) + RESET + margin


class Pixels:
    """Draws with the terminal's own graphics (sixel, kitty) through `textual-image`."""

    columns = 22
    SIDE = 224
    """Pixels of an image's side before the terminal scales it."""

    def __init__(self, renderable: Any) -> None:
        self._renderable = renderable

    def row(self, images: Sequence[PILImage.Image]) -> str:
        """See `Drawer`."""
        from rich.console import Console

        gap = self.SIDE * GAP // self.columns
        strip = PILImage.new("RGB", ((self.SIDE + gap) * len(images) - gap, self.SIDE))
        for place, image in enumerate(images):
            strip.paste(
                image.convert("RGB").resize(_fitted(image, self.SIDE, self.SIDE)), ((self.SIDE + gap) * place, 0)
            )
        width = (self.columns + GAP) * len(images) - GAP
        console = Console(force_terminal=True, width=width + 1)
        with console.capture() as captured:
            console.print(self._renderable(strip, width=width))
        return captured.get()


def _protocol() -> Any:
    """Returns textual-image's renderable for this terminal's graphics; None without the package or without any."""
    try:
        # Importing it asks the terminal what it can, and waits a tenth of a second for an answer.
        # An optional package.
        from textual_image.renderable import Image, SixelImage, TGPImage  # type: ignore[import-not-found, unused-ignore]
    except Exception:  # Not installed, or the terminal cannot be asked.
        return None
    return Image if Image in (SixelImage, TGPImage) else None


def _fitted(image: PILImage.Image, width: int, height: int) -> tuple[int, int]:
    scale = min(width / image.width, height / image.height)
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _colour(ground: int, pixel: Any) -> str:
    red, green, blue = pixel
    return f"\x1b[{ground};2;{red};{green};{blue}m"
