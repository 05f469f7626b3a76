"""A unit's maps on its exemplars, as a record holds them, drawn as colours to lay over the images."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_report.masks import SIDE

FACT = "maia-standard.maps"
"""Fact: each exemplar's map by the id of its clean image: `shape`, `levels` in base64, and `box`."""

MAX_MAPS, MAX_SIDE = 200, 1024
"""Most maps of a record, and longest side of one, that are read."""


@dataclass(frozen=True)
class ActivationMap:
    """A unit's map on one image.

    Attributes:
        levels: From 0 (its lowest value) to 255 (its highest), uint8 of shape (rows, columns).
        box: The part of the image that it covers, in pixels: left, top, right, bottom.
    """

    levels: NDArray[np.uint8]
    box: tuple[float, float, float, float]

    @classmethod
    def of(cls, values: NDArray[np.float32], box: tuple[float, float, float, float]) -> ActivationMap:
        """Returns the map of measured values, of shape (rows, columns)."""
        low, high = float(values.min()), float(values.max())
        return cls(((values - low) * (255 / (high - low if high > low else 1))).astype(np.uint8), box)

    def heat(self, width: int, height: int) -> PILImage.Image:
        """Returns the map as colours to lay over its image: clear where it is low, red to yellow where high.

        Args:
            width: Width of the image in pixels.
            height: Its height.
        """
        scale = min(1.0, SIDE / max(width, height))
        grey = PILImage.new("L", (max(1, round(width * scale)), max(1, round(height * scale))))
        left, top, right, bottom = (round(edge * scale) for edge in self.box)
        # A record from elsewhere may state any box.
        size = min(max(1, right - left), 2 * SIDE), min(max(1, bottom - top), 2 * SIDE)
        grey.paste(PILImage.fromarray(self.levels).resize(size, PILImage.Resampling.BILINEAR), (left, top))
        return PILImage.fromarray(_colours()[np.asarray(grey)])


def maps_of(facts: Mapping[str, Any]) -> dict[str, ActivationMap]:
    """Returns the maps in the facts of a record, by the id of the clean image; leaves out those that are damaged."""
    known = facts.get(FACT)
    entries = list(known.items())[:MAX_MAPS] if isinstance(known, Mapping) else []
    return {name: found for name, data in entries if (found := _read(data)) is not None}


def _read(data: Any) -> ActivationMap | None:
    match data:
        case {"shape": [int(rows), int(columns)], "levels": str(text), "box": [_, _, _, _] as edges}:
            try:
                levels = np.frombuffer(base64.b64decode(text, validate=True), np.uint8).reshape(rows, columns)
                left, top, right, bottom = map(float, edges)
            except (ValueError, TypeError, OverflowError):
                return None
            is_small = 0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE
            if is_small and -1e5 < left < right < 1e5 and -1e5 < top < bottom < 1e5:
                return ActivationMap(levels, (left, top, right, bottom))
    return None


@cache
def _colours() -> NDArray[np.uint8]:
    """Returns red, green, blue and opacity by level, clear and black to yellow: uint8 of shape (256, 4)."""
    level = np.linspace(0, 1, 256)
    stops = [0, 0.35, 0.7, 1]
    table = [np.interp(level, stops, values) for values in ([20, 150, 240, 255], [0, 20, 110, 235], [60, 70, 20, 90])]
    return np.stack([*table, np.interp(level, [0, 0.15, 1], [0, 60, 215])], 1).round().astype(np.uint8)
