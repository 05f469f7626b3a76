"""The plot of Figure 4: for every group of units and explainer, + above and - below, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from maia_eval.metrics import Estimate
from maia_eval.summary import Row

HEIGHT, TOP, BOTTOM, LEFT = 320, 16, 40, 46
"""Of the drawing in pixels, and its margins."""

STEP, GAP = 26, 34
"""Between explainers of a group, and between groups, at least."""

WIDTH, WIDEST = 1146, 72
"""Of the page's column, which few groups fill, and between explainers, at most."""


@dataclass(frozen=True)
class Mark:
    """One mean with its interval: vertical places in pixels."""

    sign: str
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Column:
    """One explainer in one group.

    Attributes:
        x: Horizontal place.
        series: Number of the explainer, from 0: decides its colour.
        marks: + and -.
        title: Text that appears when a reader points at it.
    """

    x: float
    series: int
    marks: tuple[Mark, ...]
    title: str


@dataclass(frozen=True)
class Group:
    """Columns that stand together, and their name."""

    name: str
    x: float
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Plot:
    """A drawing: size, horizontal lines (place and text), groups; a wide one is wider than the page's column."""

    width: float
    height: float
    left: float
    wide: bool
    lines: tuple[tuple[float, str], ...]
    groups: tuple[Group, ...]


def plot(rows: Sequence[Row], explainers: Sequence[str]) -> Plot | None:
    """Lays out the plot of normalised + and -; None where there is nothing to draw."""
    ends = [v for row in rows for key in ("plus", "minus") for v in row.figures[key][:3] if math.isfinite(v)]
    if not ends:
        return None
    ticks = _ticks(min(0.0, *ends), max(0.0, *ends))
    span = ticks[-1] - ticks[0]

    def y(value: float) -> float:
        return round(TOP + (ticks[-1] - value) / span * (HEIGHT - TOP - BOTTOM), 1)

    names = list(dict.fromkeys(row.group for row in rows))
    most = max(sum(row.group == name for row in rows) for name in names)
    slot = max((WIDTH - LEFT) / len(names), STEP * (most - 1) + 2 * GAP)
    step = min(WIDEST, (slot - 2 * GAP) / max(most - 1, 1))
    groups = []
    for place, name in enumerate(names):
        members = [row for row in rows if row.group == name]
        middle = LEFT + slot * (place + 0.5)
        columns = []
        for number, row in enumerate(members):
            x = round(middle + step * (number - (len(members) - 1) / 2), 1)
            marks = tuple(_mark(sign, row.figures[key], y) for sign, key in (("+", "plus"), ("−", "minus")))
            known = tuple(mark for mark in marks if mark is not None)
            title = f"{row.explainer}, {name}, {row.units} units: " + ", ".join(m.text for m in known)
            columns.append(Column(x, explainers.index(row.explainer), known, title))
        groups.append(Group(name, round(middle, 1), tuple(columns)))
    lines = tuple((y(tick), f"{tick:g}".replace("-", "−")) for tick in ticks)
    width = round(LEFT + slot * len(names), 1)
    return Plot(width, HEIGHT, LEFT, width > WIDTH, lines, tuple(groups))


def _mark(sign: str, estimate: Estimate, y: object) -> Mark | None:
    if not math.isfinite(estimate.value) or not callable(y):
        return None
    low, high = (v if math.isfinite(v) else estimate.value for v in (estimate.low, estimate.high))
    return Mark(sign, y(estimate.value), y(low), y(high), f"{sign} {estimate.value:.2f} [{low:.2f}, {high:.2f}]")


def _ticks(low: float, high: float) -> list[float]:
    """Returns round numbers from at or below `low` to at or above `high`, four to eight of them."""
    span = max(high - low, 1e-9)
    power = 10 ** math.floor(math.log10(span / 5))
    step = next(power * k for k in (1, 2, 2.5, 5, 10) if span / (power * k) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 10) for k in range(first, max(last, first + 1) + 1)]
