"""Picture sheets: one PNG per experiment, which shows its images numbered, with activations and titles."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from maia_core.plugin import Image, ImagePart, MaiaError, RecordError, RunReader, write_atomically
from maia_report.masks import is_inactive
from maia_report.steps import Step
from maia_report.summary import RunSummary
from maia_report.text import clean, number

COLUMNS, TILE, GAP, LINE = 6, 160, 8, 16
"""Images in a row; pixels of an image's side, of the space between two, and of a line of text."""

MAX_TILES = 96
"""Most images of a sheet; it says how many more there are."""

MAX_TITLE = 24
"""Most characters of a title below its image."""

MISSING = "not in the record"


@dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    Attributes:
        image: The image.
        title: What it is.
        activation: The unit's activation; None where none was logged.
    """

    image: Image
    title: str
    activation: float | None = None


def write_sheets(run_folder: Path, folder: Path) -> list[Path]:
    """Writes one PNG for each experiment that logged or displayed images: `experiment-03.png` in `folder`.

    Raises:
        RecordError: `run_folder` is not a run folder, or `folder` cannot be written.
    """
    summary = RunSummary(RunReader(run_folder))
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for step in summary.steps:
            if tiles := tiles_of(step):
                out = io.BytesIO()
                picture_sheet(f"Experiment in turn {step.number}: {len(tiles)} images", tiles).save(out, "PNG")
                written.append(folder / f"experiment-{step.number:02}.png")
                write_atomically(written[-1], out.getvalue())
    except OSError as error:
        raise RecordError(
            f"cannot write picture sheets to {folder}: {error.strerror or error}; name another folder with --sheets"
        ) from error
    return written


def tiles_of(step: Step) -> list[Tile]:
    """Returns the images of an experiment: those that it logged, then those that it only displayed, each once."""
    logged = [Tile(result.image, result.title, result.activation) for result in step.logged]
    displayed = [Tile(part.image, part.image.title) for part in step.displays if isinstance(part, ImagePart)]
    known = {tile.image.id for tile in logged}
    return logged + list({t.image.id: t for t in displayed if t.image.id not in known}.values())


def picture_sheet(title: str, tiles: Sequence[Tile]) -> PILImage.Image:
    """Draws images in rows, each with its number and activation, and its title below, under the sheet's title.

    An image that does not activate the unit is drawn as it is, with the words "no active region".
    """
    shown = tiles[:MAX_TILES]
    rows = -(-len(shown) // COLUMNS)
    columns = min(COLUMNS, max(len(shown), 3))
    height = GAP + 2 * LINE + rows * (TILE + 2 * LINE + GAP)
    sheet = PILImage.new("RGB", (columns * (TILE + GAP) + GAP, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    left_out = f" (the first {len(shown)} are shown)" if len(tiles) > len(shown) else ""
    draw.text((GAP, GAP), clean(title + left_out, 80), "black", font)
    for position, tile in enumerate(shown):
        x = GAP + position % columns * (TILE + GAP)
        y = GAP + 2 * LINE + position // columns * (TILE + 2 * LINE + GAP)
        picture, note = _drawn(tile.image)
        sheet.paste(picture, (x + (TILE - picture.width) // 2, y + (TILE - picture.height) // 2))
        if note:
            draw.rectangle((x, y, x + TILE, y + LINE), "white")
            draw.text((x + 2, y + 1), note, "black", font)
        activation = "" if tile.activation is None else f"   {number(tile.activation)}"
        draw.text((x, y + TILE), f"{position + 1}.{activation}", "black", font)
        draw.text((x, y + TILE + LINE), _cut(tile.title), "dimgrey", font)
    return sheet


def _cut(title: str) -> str:
    words = " ".join(clean(title).split())
    return words if len(words) <= MAX_TITLE else f"{words[: MAX_TITLE - 1]}…"


def _drawn(image: Image) -> tuple[PILImage.Image, str]:
    """Returns an image as a tile, and a note about it (empty: none)."""
    inactive = is_inactive(image)
    try:
        picture = ((image.clean or image) if inactive else image).pil()
    except (MaiaError, OSError, ValueError, MemoryError):
        return PILImage.new("RGB", (TILE, TILE), "lightgrey"), MISSING
    picture.thumbnail((TILE, TILE), PILImage.Resampling.LANCZOS)
    return picture, "no active region" if inactive else ""
