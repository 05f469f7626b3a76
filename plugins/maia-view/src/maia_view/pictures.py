"""Pictures of a unit's exemplars as files: a sheet of the first ones, and each by itself with its mask or map."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence

from PIL import Image as PILImage

from maia_core.plugin import Image, MaiaError, cache_dir, content_id, write_atomically
from maia_report.masks import DRAWINGS, is_inactive
from maia_view.atlas import Atlas
from maia_view.exemplars import Exemplars, Shown
from maia_view.units import UnitRow

COLUMNS, ROWS, CELL, GAP = 3, 2, 96, 2
"""Exemplars of a sheet, and pixels of each and between two."""

ON_SHEET = COLUMNS * ROWS
SHEET_SIZE = (COLUMNS * CELL + (COLUMNS - 1) * GAP, ROWS * CELL + (ROWS - 1) * GAP)
"""Width and height of a sheet in pixels."""

SIDE = 288
"""Longest side of a thumbnail, mask or map in pixels."""

KINDS = ("thumb", "full", *DRAWINGS, "map")
"""Pictures of one exemplar: as it is, its mask as a drawing to lay over it, the unit's map likewise."""

VERSION = b"1"
"""Of the pictures: changes whenever the same exemplars would give others."""


def sheet(exemplars: Exemplars, atlas: Atlas, row: UnitRow, masks: str) -> bytes:
    """Returns the first exemplars of a unit as one WebP picture, which is made once and kept in the cache.

    Args:
        exemplars: Finds them.
        atlas: The unit's layer.
        row: The unit.
        masks: `off`, or how masks are drawn: a name of `maia_report.masks.DRAWINGS`.
    """
    name = content_id(VERSION, _origin(exemplars, atlas, row), row.key.encode("utf-8", "replace"), masks.encode())
    cached = cache_dir() / "view" / "sheets" / name[:2] / name
    with contextlib.suppress(OSError):
        return cached.read_bytes()
    try:
        shown = exemplars.of(atlas, row, ON_SHEET)
    except MaiaError:
        shown = []
    data = _encoded(_sheet(shown, masks))
    if shown:
        with contextlib.suppress(OSError):  # A cache that cannot be written costs time, and nothing else.
            write_atomically(cached, data)
    return data


def picture(shown: Shown, kind: str) -> bytes | None:
    """Returns one exemplar as a file, WebP for `thumb`, else PNG; None where it has no such picture."""
    clean = shown.image.clean or shown.image
    if kind == "thumb":
        small = clean.pil()
        small.thumbnail((SIDE, SIDE), PILImage.Resampling.LANCZOS)
        return _encoded(small)
    if kind == "full":
        return png(clean.pil())
    if kind == "map":
        return None if shown.map is None else png(shown.map.heat(clean.width, clean.height))
    mask = shown.image.mask()
    if mask is None:
        return None
    drawing = DRAWINGS[kind](mask)
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG", optimize=True, bits=2, transparency=drawing.info["transparency"])
    return buffer.getvalue()


def _sheet(shown: Sequence[Shown], masks: str) -> PILImage.Image:
    """Lays exemplars out in rows; where there are none, or fewer, the rest is clear."""
    canvas = PILImage.new("RGBA", SHEET_SIZE)
    for rank, each in enumerate(shown):
        try:
            small = _small(each.image, masks)
        except (MaiaError, OSError, ValueError):  # A damaged image leaves its place empty.
            continue
        left, top = (CELL + GAP) * (rank % COLUMNS), (CELL + GAP) * (rank // COLUMNS)
        canvas.paste(small, (left + (CELL - small.width) // 2, top + (CELL - small.height) // 2))
    return canvas


def _small(image: Image, masks: str) -> PILImage.Image:
    clean = image.clean or image
    small = clean.pil().convert("RGBA")
    small.thumbnail((CELL, CELL), PILImage.Resampling.LANCZOS)
    mask = image.mask() if masks in DRAWINGS and not is_inactive(image) else None
    if mask is not None:
        drawing = DRAWINGS[masks](mask).convert("RGBA").resize(small.size, PILImage.Resampling.BILINEAR)
        small = PILImage.alpha_composite(small, drawing)
    return small


def versions(exemplars: Exemplars, atlas: Atlas) -> Callable[[UnitRow], str]:
    """Returns what gives eight hexadecimal digits that change with the exemplars of a unit."""
    if atlas.index is not None and not exemplars.problem(atlas):
        # All units of an index have the same.
        shared = content_id(VERSION, _origin(exemplars, atlas, atlas.rows[0]))[:8] if atlas.rows else ""
        return lambda row: shared
    return lambda row: content_id(VERSION, _origin(exemplars, atlas, row))[:8]


def _origin(exemplars: Exemplars, atlas: Atlas, row: UnitRow) -> bytes:
    """Returns what changes with the exemplars of a unit."""
    if atlas.index is not None and not exemplars.problem(atlas):
        place = atlas.index.folder / "units.npy"
        status = os.stat(place)
        fingerprint = atlas.index.info.dataset_fingerprint
        return f"{place} {status.st_mtime_ns} {status.st_size} {fingerprint}".encode("utf-8", "surrogateescape")
    return " ".join(f"{run.key} {run.created} {run.turns > 0}" for run in row.runs).encode("utf-8", "surrogateescape")


def _encoded(picture: PILImage.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=78, method=3)
    return buffer.getvalue()


def png(picture: PILImage.Image) -> bytes:
    """Returns a picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
