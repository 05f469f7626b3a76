"""Finds places for objects so that none hides another and each is where it was asked to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from maia_collage.scene import MAX_SIDE, extent, fitting

GAP = 0.015
"""Least distance between the boxes of two objects, as a fraction of the image."""

ZONES = {
    "left": (0.0, 0.34, 0.0, 1.0),
    "right": (0.66, 1.0, 0.0, 1.0),
    "top": (0.0, 1.0, 0.0, 0.34),
    "bottom": (0.0, 1.0, 0.66, 1.0),
    "centre": (0.46, 0.54, 0.46, 0.54),
}
"""Where a position word allows an object's centre: least and most x, least and most y."""

RELATIONS = ("left of", "right of", "above", "below", "near")

_TRIES = 12
_ROUNDS = 20
_SHRINKINGS = 18
_SHRINK = 0.88


class Want(NamedTuple):
    """An object that wants a place: width/height, wished scale, and position words that bind it."""

    aspect: float
    scale: float
    zones: tuple[str, ...] = ()


class Spot(NamedTuple):
    """A place: centre, box and scale, as fractions of the image."""

    x: float
    y: float
    width: float
    height: float
    scale: float


Link = tuple[int, str, int]
"""An object, its relation, and the object it stands in relation to, by their place in the list."""


def arrange(
    wants: Sequence[Want], links: Sequence[Link], rng: np.random.Generator, taken: Sequence[Spot] = ()
) -> list[Spot] | None:
    """Finds a place for every object; all shrink together where there is no room at the wished scales.

    Args:
        wants: The objects to place.
        links: Relations; an index counts `wants` first, then `taken`.
        rng: Decides among the places that are allowed.
        taken: Places that must not be covered.

    Returns:
        A spot for each of `wants`, or None if the demands cannot be met together.
    """
    shrink = 1.0
    for _ in range(_SHRINKINGS):
        for _ in range(_ROUNDS):
            if (spots := _round(wants, links, rng, taken, shrink)) is not None:
                return spots
        shrink *= _SHRINK
    return None


def _round(
    wants: Sequence[Want], links: Sequence[Link], rng: np.random.Generator, taken: Sequence[Spot], shrink: float
) -> list[Spot] | None:
    placed: dict[int, Spot] = dict(enumerate(taken, len(wants)))
    for index, want in enumerate(wants):
        scale = fitting(want.scale, want.aspect) * shrink
        width, height = extent(scale, want.aspect)
        low_x, high_x, low_y, high_y = _allowed(want.zones, width, height)
        for relation, other in _bound(index, links, placed):
            if relation == "left of":
                high_x = max(low_x, min(high_x, other.x - (other.width + width) / 2 - GAP))
            elif relation == "right of":
                low_x = min(high_x, max(low_x, other.x + (other.width + width) / 2 + GAP))
            elif relation == "above":
                high_y = max(low_y, min(high_y, other.y - (other.height + height) / 2 - GAP))
            elif relation == "below":
                low_y = min(high_y, max(low_y, other.y + (other.height + height) / 2 + GAP))
        for x, y in rng.random((_TRIES, 2)).tolist():
            spot = Spot(low_x + x * (high_x - low_x), low_y + y * (high_y - low_y), width, height, scale)
            if any(overlap(spot, other) for other in placed.values()):
                continue
            placed[index] = spot
            if all(_holds(placed[a], relation, placed[b]) for a, relation, b in links if a in placed and b in placed):
                break
            del placed[index]
        else:
            return None
    return [placed[index] for index in range(len(wants))]


_INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above", "near": "near"}


def _bound(index: int, links: Sequence[Link], placed: Mapping[int, Spot]) -> list[tuple[str, Spot]]:
    """Returns the relations of an object to those that have a place already, as seen from the object."""
    bound = [(relation, placed[b]) for a, relation, b in links if a == index and b in placed]
    return bound + [(_INVERSE[relation], placed[a]) for a, relation, b in links if b == index and a in placed]


def _allowed(zones: Sequence[str], width: float, height: float) -> tuple[float, float, float, float]:
    bounds = np.array([0.0, 1.0, 0.0, 1.0])
    for zone in zones:
        other = np.array(ZONES[zone])
        if zone == "centre" and len(zones) > 1:
            continue  # "top centre": the other word already says more
        bounds = np.array(
            [max(bounds[0], other[0]), min(bounds[1], other[1]), max(bounds[2], other[2]), min(bounds[3], other[3])]
        )
    if "centre" in zones and len(zones) > 1:
        axis = 2 if {"left", "right"} & set(zones) else 0
        bounds[axis : axis + 2] = ZONES["centre"][:2]
    margin = (1 - MAX_SIDE) / 3
    free = [margin + width / 2, 1 - margin - width / 2, margin + height / 2, 1 - margin - height / 2]
    low_x, high_x = _clip(bounds[0], bounds[1], free[0], free[1])
    low_y, high_y = _clip(bounds[2], bounds[3], free[2], free[3])
    return low_x, high_x, low_y, high_y


def _clip(low: float, high: float, least: float, most: float) -> tuple[float, float]:
    """Cuts a wish to what is free; a wish that is wholly outside becomes the nearest free value."""
    return float(min(max(low, least), most)), float(max(min(high, most), least))


def overlap(a: Spot, b: Spot) -> bool:
    """Tells whether two places come closer than `GAP`."""
    return abs(a.x - b.x) < (a.width + b.width) / 2 + GAP and abs(a.y - b.y) < (a.height + b.height) / 2 + GAP


def _holds(a: Spot, relation: str, b: Spot) -> bool:
    across = abs(a.x - b.x) - (a.width + b.width) / 2
    down = abs(a.y - b.y) - (a.height + b.height) / 2
    if relation == "left of":
        return a.x < b.x and across >= 0
    if relation == "right of":
        return a.x > b.x and across >= 0
    if relation == "above":
        return a.y < b.y and down >= 0
    if relation == "below":
        return a.y > b.y and down >= 0
    return max(across, down) < 0.15
