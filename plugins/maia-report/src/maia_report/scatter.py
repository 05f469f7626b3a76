"""Lays out predicted against measured activation, and the figures of checks, for the page of a run."""

from __future__ import annotations

from dataclasses import dataclass

from maia_core.plugin import Check, Prediction
from maia_report.plot import drawable
from maia_stats import Interval, against_bar

LEFT, RIGHT, TOP, BOTTOM = 36, 210, 12, 154
"""Of the drawing."""


@dataclass(frozen=True)
class Scatter:
    """One drawing: dots in pixels, and the ends of both axes."""

    prediction: Prediction
    dots: tuple[tuple[float, float], ...]
    low: str
    high: str
    bottom: float
    top: float


def scatter(prediction: Prediction) -> Scatter | None:
    """Returns the drawing of a prediction; None where there is nothing to draw."""
    points = [(x, y) for x, y in prediction.points if len(drawable([x, y])) == 2]
    if not points:
        return None
    (low, high), (bottom, top) = ((min(axis), max(axis)) for axis in zip(*points, strict=True))
    dots = tuple(
        (
            round(LEFT + (x - low) / ((high - low) or 1) * (RIGHT - LEFT), 1),
            round(BOTTOM - (y - bottom) / ((top - bottom) or 1) * (BOTTOM - TOP), 1),
        )
        for x, y in points
    )
    return Scatter(prediction, dots, f"{low:.2g}", f"{high:.2g}", bottom, top)


def figures(check: Check) -> tuple[str, str, str, str]:
    """Returns effect, ends of its interval and bar of a check as text, which do not contradict its decision."""
    return against_bar(Interval(check.effect, check.low, check.high), check.required, check.measure == "share")
