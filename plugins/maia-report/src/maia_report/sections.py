"""Parts of a page that observers and other distributions draw too: a heat map, and matched pairs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from maia_core.plugin import HostCall, Image, RunReader
from maia_report.plot import drawable, interval

LEVELS = 10
"""Shades of a heat map, beside that of no activation."""

MAX_CHANGES, MAX_PAIRS = 12, 8
"""Changes that a page shows, and pairs per change; the page counts further ones."""

MAX_ROWS, MAX_COLUMNS = 60, 30
"""Rows and columns of a heat map; the page counts further ones."""


@dataclass(frozen=True)
class HeatMap:
    """A table of mean activations by two factors.

    Attributes:
        rows: Names of the rows.
        columns: Names of the columns.
        cells: Mean activation of each row and column; None where there is no image.
        counts: Number of images of each row and column; empty where it is not known.
        note: A text above the table.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[float | None]]
    counts: Sequence[Sequence[int]] = ()
    note: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether there is a cell, and a count where counts are known, for each row and column."""
        shape = [len(self.columns)] * len(self.rows)
        return [*map(len, self.cells)] == shape and [*map(len, self.counts)] in ([], shape)

    @cached_property
    def _range(self) -> tuple[float, float]:
        values = drawable(value for row in self.cells for value in row if value is not None)
        return min(0.0, *values, 0.0), max(values, default=0.0)

    def shade(self, row: int, column: int) -> int | None:
        """Returns the shade of a cell from 0 to `LEVELS`, or None for a cell without a value."""
        value = self.cells[row][column]
        low, high = self._range
        if value is None or not drawable([value]):
            return None
        return round(LEVELS * (value - low) / (high - low)) if high > low else 0


@dataclass(frozen=True)
class Pair:
    """An image and its edit, masked as the unit sees them, with their activations."""

    before: float
    original: Image
    after: float
    edited: Image


@dataclass(frozen=True)
class Change:
    """Pairs that one instruction made.

    Attributes:
        title: The instruction.
        pairs: The pairs, in the order of the record.
    """

    title: str
    pairs: tuple[Pair, ...]

    @property
    def mean(self) -> float:
        """Mean difference of the activations, edited minus original."""
        return statistics.fmean(pair.after - pair.before for pair in self.pairs)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval (Student's t), or None for fewer than three pairs."""
        return interval([pair.after - pair.before for pair in self.pairs])


def changes(run: RunReader) -> list[Change]:
    """Returns the matched pairs of a run, by instruction, in the order of the record.

    A pair is an image and its edit by `tools.edit_images`, both measured with `system.neuron`. Pairs that the edit left
    unchanged are left out.
    """
    results = measured(run)
    groups: dict[str, dict[str, Pair]] = {}
    for before, after, instruction in edits(run):
        if before.id != after.id and before.id in results and after.id in results:
            pair = Pair(*results[before.id], *results[after.id])
            groups.setdefault(instruction, {})[before.id + after.id] = pair
    return [Change(title, tuple(pairs.values())) for title, pairs in groups.items()]


def edits(run: RunReader) -> list[tuple[Image, Image, str]]:
    """Returns original, edited image and instruction of every edit; damaged calls are left out."""
    triples: list[tuple[Image, Image, str]] = []
    for call in run.of_type(HostCall):
        match _result(call, run) if call.method == "tools.edit_images" else None:
            case [[*images], [*titles]] if len(images) == len(titles):
                pairs = zip(images[::2], images[1::2], titles[1::2], strict=False)
                known = [(a, b, str(t)) for a, b, t in pairs if isinstance(a, Image) and isinstance(b, Image)]
                triples += [(a, b, _instruction(t, f"{a.title or 'image'}: ")) for a, b, t in known]
    return triples


def _instruction(title: str, original: str) -> str:
    """Returns what is left of an edited image's title without its original's, see `tools.edit_images`."""
    if title.startswith(original):
        return title.removeprefix(original)
    return title.partition(f" (asked for: {original}")[2].removesuffix(")") or title


def measured(run: RunReader) -> dict[str, tuple[float, Image]]:
    """Returns activation and masked image of every image that programs gave to `system.neuron`, by the image's id."""
    by_id: dict[str, tuple[float, Image]] = {}
    for call in run.of_type(HostCall):
        match _result(call, run) if call.method == "system.neuron" else None:
            case [[*activations], [*images]] if len(activations) == len(images):
                for activation, image in zip(activations, images, strict=True):
                    if not isinstance(activation, int | float) or not isinstance(image, Image):
                        continue
                    if math.isfinite(activation) and drawable([activation]):
                        by_id[(image.clean or image).id] = float(activation), image
    return by_id


def _result(call: HostCall, run: RunReader) -> object:
    try:
        return None if call.error else run.value(call.result)
    except Exception:  # A record from elsewhere may hold anything here.
        return None
