"""Where the marks of a strip plot go. Positions are percent of the plot's width, so that it fits a phone too."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MARGIN = 2.5
"""Percent of the width that is kept free at either end, so that no dot is cut."""

LANES = (0, -1, 1, -2, 2)
"""Rows of dots, the middle one first: dots that would lie on each other move to the next."""

_LARGEST = 1e150
# Student's t for a two-sided 95 % interval, by degrees of freedom from 1 to 30.
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """Maps activations from `low` to `high` to percent of the width."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Returns the position of a value in percent; one beyond the ends is put at the end."""
        share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + (100 - 2 * MARGIN) * min(max(share, 0.0), 1.0), 3)

    def level(self, value: float) -> float:
        """Returns how far a bar of a value reaches, in percent: nothing at the low end, so that 0 is seen to be 0."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 3)

    def ticks(self, most: int = 6) -> list[float]:
        """Returns at most `most` round values within the scale: multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


@dataclass(frozen=True)
class Dot:
    """One measured image: its position in percent, and its lane around the middle of the row."""

    x: float
    lane: int


@dataclass(frozen=True)
class Strip:
    """The marks of one row: a dot an image, the mean of two or more, and its 95 % interval from three on."""

    dots: tuple[Dot, ...]
    mean: float | None
    interval: tuple[float, float] | None


def drawable(values: Iterable[float]) -> list[float]:
    """Returns the values that can be drawn: finite and not absurdly large."""
    return [value for value in values if abs(value) < _LARGEST]


def scale(values: Iterable[float]) -> Scale:
    """Returns a scale that holds all values, and zero where it is not far from them."""
    finite = drawable(values)
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if 0 < low < 0.75 * high:
        low = 0.0
    elif 0.75 * low < high < 0:
        high = 0.0
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        # Where all is 0 the marks belong at the low end: in the middle they would look like half of something.
        padding = abs(high) / 2
        low, high = (low - padding, high + padding) if padding else (0.0, 1.0)
    return Scale(low, high)


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95 % confidence interval of the mean (Student's t), or None for fewer than three values."""
    if len(values) < 3:
        return None
    student = _STUDENT[len(values) - 2] if len(values) - 2 < len(_STUDENT) else 1.96
    mean = statistics.fmean(values)
    half = student * statistics.stdev(values, mean) / math.sqrt(len(values))
    return mean - half, mean + half


def strip(values: Iterable[float], on: Scale, gap: float = 1.6) -> Strip:
    """Lays out one row.

    Args:
        values: Activations; what cannot be drawn is left out.
        on: The scale.
        gap: Percent of the width that two dots of one lane keep from each other, if there are lanes enough.
    """
    finite = sorted(drawable(values))
    ends: dict[int, float] = {}
    dots: list[Dot] = []
    for position in map(on.x, finite):
        free = [lane for lane in LANES if position - ends.get(lane, -math.inf) >= gap]
        lane = free[0] if free else LANES[len(dots) % len(LANES)]
        ends[lane] = position
        dots.append(Dot(position, lane))
    spread = interval(finite)
    return Strip(
        dots=tuple(dots),
        mean=on.x(statistics.fmean(finite)) if len(finite) > 1 else None,
        interval=(on.x(spread[0]), on.x(spread[1])) if spread else None,
    )
