"""Painted cut-outs: things of which no package has a picture. So far, leashes.

A leash is a strap along a curve, with a loop for the hand at one end and a snap hook at the other. The same number
paints the same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw

SIDE = 960
"""Longest side of the curve, in pixels; a pack holds it smaller, and so without jagged edges."""

STRAP = 0.055
"""Width of the strap, as a fraction of the side."""

METAL = ((70, 74, 80), (168, 172, 178), (232, 235, 238))
"""Shade, body and light of the snap hook, RGB."""

Points = NDArray[np.float64]
"""Points along a curve: x and y as fractions of the side, shape (points, 2)."""


class Leash(NamedTuple):
    """How a leash looks: how it lies, the colour of the strap and of its stitches (RGB), and how it is turned."""

    coiled: bool
    colour: tuple[int, int, int]
    stitches: tuple[int, int, int]
    turn: float


LEASHES = (
    Leash(True, (186, 28, 36), (236, 200, 196), 0.1),
    Leash(False, (36, 78, 170), (196, 212, 240), -0.2),
    Leash(True, (34, 34, 38), (150, 150, 156), -0.35),
    Leash(False, (122, 72, 38), (226, 190, 140), 0.3),
    Leash(True, (112, 66, 36), (222, 184, 134), 0.45),
    Leash(False, (178, 26, 40), (240, 206, 200), 0.0),
)


PAINTED = "painted/"
"""What the sources of painted things begin with."""


def painted() -> Iterator[tuple[str, str, PILImage.Image]]:
    """Paints everything, one by one: source, concept and picture."""
    for number in range(len(LEASHES)):
        yield f"{PAINTED}leash-{number}", "leash", leash(number)


def leash(number: int) -> PILImage.Image:
    """Paints one of the `LEASHES`.

    Returns:
        Mode RGBA, with nothing around it.
    """
    look = LEASHES[number]
    path = _smooth(_turned(_coil() if look.coiled else _wave(), look.turn))
    low, high = path.min(0), path.max(0)
    # The hook reaches beyond the end of the strap: there is half as much room again around the curve.
    path = ((path - (low + high) / 2) / (high - low).max() + 0.75) * SIDE
    picture = PILImage.new("RGBA", (SIDE * 3 // 2, SIDE * 3 // 2))
    draw = ImageDraw.Draw(picture)
    _strap(draw, path, STRAP * SIDE, look, np.random.default_rng([number, 5]))
    _hook(draw, path[-1], path[-1] - path[-6], STRAP * SIDE)
    return picture.crop(picture.getbbox())


def _coil() -> Points:
    """A loop for the hand, two and a half rounds, and the end that hangs down."""
    angle = np.linspace(-0.6 * math.pi, 4.6 * math.pi, 160)
    radius = np.linspace(0.30, 0.19, angle.size) + 0.012 * np.sin(1.7 * angle)
    rounds = np.stack([0.5 + 1.12 * radius * np.cos(angle), 0.4 + 0.82 * radius * np.sin(angle)], 1)
    end = np.array([(0.30, 0.72), (0.36, 0.84), (0.46, 0.93)])
    return np.concatenate([_handle(rounds[0], rounds[0] - rounds[4]), rounds, end])


def _wave() -> Points:
    """A loop for the hand, and the strap in waves."""
    along = np.linspace(0, 1, 90)
    waves = np.stack([0.22 + 0.56 * along, 0.34 + 0.34 * along + 0.2 * np.sin(2.6 * math.pi * along)], 1)
    return np.concatenate([_handle(waves[0], waves[0] - waves[6]), waves])


def _handle(joint: Points, away: Points) -> Points:
    """Returns a loop that leaves a point in a direction and comes back to it."""
    ahead = away / np.hypot(*away)
    aside = np.array([-ahead[1], ahead[0]])
    round_ = np.linspace(0, 1, 40)[1:-1, None]
    loop: Points = joint + 0.27 * np.sin(math.pi * round_) * ahead + 0.085 * np.sin(2 * math.pi * round_) * aside
    return loop


def _turned(points: Points, turn: float) -> Points:
    """Returns points turned about the middle, by radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    turned: Points = (points - 0.5) @ np.array([[cos, sin], [-sin, cos]]) + 0.5
    return turned


def _smooth(points: Points) -> Points:
    """Returns points of equal distance along the curve, its corners rounded."""
    for _ in range(3):  # Chaikin's corner cutting: each corner becomes two.
        near, far = points[:-1], points[1:]
        cut = np.stack([0.75 * near + 0.25 * far, 0.25 * near + 0.75 * far], 1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut, points[-1:]])
    steps = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.arange(0, steps[-1], 0.004)
    return np.stack([np.interp(at, steps, points[:, axis]) for axis in (0, 1)], 1)


def _strap(draw: ImageDraw.ImageDraw, path: Points, width: float, look: Leash, rng: np.random.Generator) -> None:
    """Draws the strap piece by piece, so that where it crosses itself the later part lies on top."""
    ahead = np.gradient(path, axis=0)
    aside = np.stack([-ahead[:, 1], ahead[:, 0]], 1) / np.maximum(np.hypot(*ahead.T), 1e-9)[:, None]
    weave = rng.uniform(0.86, 1.08, len(path))

    def piece(i: int, low: float, high: float, colour: tuple[int, int, int], gain: float) -> None:
        corners = [path[i] + low * width * aside[i], path[i] + high * width * aside[i]]
        corners += [path[i + 2] + high * width * aside[i + 2], path[i + 2] + low * width * aside[i + 2]]
        fill = tuple(int(min(255.0, c * gain)) for c in colour)
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=fill)

    for i in range(len(path) - 2):
        # Lit from above: a side that faces up is brighter.
        light = 1.0 - 0.22 * float(aside[i, 1])
        piece(i, -0.5, 0.5, look.colour, 0.42)
        piece(i, -0.42, 0.42, look.colour, weave[i] * 0.92)
        piece(i, -0.42, -0.1, look.colour, weave[i] * (2 - light))
        piece(i, 0.1, 0.42, look.colour, weave[i] * light)
        if i % 6 < 3:
            piece(i, -0.34, -0.28, look.stitches, 1.0)
            piece(i, 0.28, 0.34, look.stitches, 1.0)


def _hook(draw: ImageDraw.ImageDraw, end: Points, along: Points, width: float) -> None:
    """Draws a snap hook at the end of a strap: a ring, a swivel, and the hook with its gate."""
    ahead = along / np.hypot(*along)
    aside = np.array([-ahead[1], ahead[0]])

    def at(forth: float, out: float) -> tuple[float, float]:
        x, y = end + width * (forth * ahead + out * aside)
        return float(x), float(y)

    def rod(points: list[tuple[float, float]], thick: float) -> None:
        for colour, share in zip(METAL, (1.0, 0.72, 0.24), strict=True):
            draw.line([at(*p) for p in points], colour, max(1, round(thick * width * share)), joint="curve")

    def bend(middle: float, length: float, breadth: float, start: float, stop: float) -> list[tuple[float, float]]:
        angles = np.linspace(start, stop, 40)
        return [(middle - length * math.cos(a), breadth * math.sin(a)) for a in angles]

    rod(bend(0.4, 0.55, 0.75, 0, 2 * math.pi), 0.32)
    rod([(0.9, 0.0), (1.7, 0.0)], 0.8)
    rod(bend(2.9, 1.3, 0.8, 0.15, 1.7 * math.pi), 0.44)
    rod([(2.2, -0.64), (3.4, -0.64)], 0.3)
