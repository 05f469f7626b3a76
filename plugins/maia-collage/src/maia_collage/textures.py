"""Painted backgrounds: grass, snow, sand, water, brick and others, each from numpy noise and a seed.

Every painter returns a square of `SIDE` pixels. The same seed paints the same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFilter

from maia_core.plugin import Pixels

SIDE = 448
"""Side of a painted tile in pixels; a background is a crop of it."""

Field = NDArray[np.float32]
"""A grey-scale field: shape (SIDE, SIDE), values about 0 to 1."""

# In quotes: at run time the name would import numpy.random, which `maia plugins` can do without.
Painter = Callable[["np.random.Generator"], Pixels]


def noise(rng: np.random.Generator, cells_x: float, cells_y: float, octaves: int = 4, fade: float = 0.5) -> Field:
    """Returns smooth random noise with values from 0 to 1.

    A sum of random grids, each enlarged with bicubic interpolation; every octave doubles the number of cells and
    weighs `fade` times as much as the one before (value noise).
    """
    total = np.zeros((SIDE, SIDE), np.float32)
    weight = 1.0
    for octave in range(octaves):
        columns, rows = (min(SIDE, max(2, round(c * 2**octave)) + 1) for c in (cells_x, cells_y))
        grid = PILImage.fromarray(rng.random((rows, columns), dtype=np.float32))
        total += weight * np.asarray(grid.resize((SIDE, SIDE), PILImage.Resampling.BICUBIC))
        weight *= fade
    low, high = np.quantile(total, (0.002, 0.998))
    scaled: Field = np.clip((total - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)
    return scaled


def ramp(field: NDArray[np.floating[Any]], *stops: tuple[int, int, int]) -> Field:
    """Colours a field: 0 is the first colour, 1 the last, evenly spaced between. Returns float32 RGB, 0 to 255."""
    at = np.linspace(0, 1, len(stops))
    colours = np.array(stops, np.float32)
    return np.stack([np.interp(field, at, colours[:, c]) for c in range(3)], -1).astype(np.float32)


def pixels(values: NDArray[np.floating[Any]]) -> Pixels:
    """Rounds RGB values to 8 bits."""
    clipped: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped


def grain(rng: np.random.Generator, values: NDArray[np.floating[Any]], strength: float) -> Field:
    """Adds fine grey grain of a standard deviation in grey levels."""
    return (values + rng.normal(0, strength, (SIDE, SIDE, 1))).astype(np.float32)


def grid() -> tuple[Field, Field]:
    """Returns x and y of every pixel, from 0 to 1."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    return x, y


def grass(rng: np.random.Generator) -> Pixels:
    """Blades seen from above at a slant, the lower ones in front."""
    ground = ramp(noise(rng, 6, 8), (18, 40, 10), (44, 80, 22))
    image = PILImage.fromarray(pixels(ground))
    draw = ImageDraw.Draw(image)
    light = noise(rng, 3, 3, 2)
    count = 9000
    xs, ys = rng.random((2, count)) * SIDE
    leans, lengths = rng.normal(0, 7, count), rng.uniform(9, 26, count)
    tones = rng.uniform(0, 1, count)
    for i in np.argsort(ys, kind="stable"):
        x, y = float(xs[i]), float(ys[i])
        tone = 0.65 * tones[i] + 0.35 * light[int(y), int(x)]
        colour = (int(40 + 110 * tone**1.5), int(82 + 112 * tone), int(18 + 48 * tone))
        draw.line((x, y + 6, x + leans[i] / 3, y - lengths[i] / 2, x + leans[i], y - lengths[i]), colour, 2)
    return pixels(grain(rng, np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)), np.float32), 4))


def snow(rng: np.random.Generator) -> Pixels:
    """Soft drifts with bluish shade and a little sparkle."""
    height = noise(rng, 2, 5, 5, 0.42)
    slope = np.gradient(height, axis=0) * 24 + np.gradient(height, axis=1) * 14
    light = np.clip(0.68 + slope, 0, 1)
    sparkle = (rng.random((SIDE, SIDE)) > 0.998) * 25
    return pixels(grain(rng, ramp(light, (168, 186, 212), (224, 231, 240), (252, 252, 255)), 2.5) + sparkle[:, :, None])


def sand(rng: np.random.Generator) -> Pixels:
    """Wind ripples in fine grain."""
    x, y = grid()
    bend = noise(rng, 2, 2, 3)
    turn = rng.uniform(-0.5, 0.5)
    phase = (y * math.cos(turn) + x * math.sin(turn)) * rng.uniform(14, 24) + 5 * bend
    ripple = 0.5 + 0.5 * np.sin(2 * math.pi * phase)
    light = 0.3 * ripple * (0.4 + 0.6 * noise(rng, 3, 3, 2)) + 0.4 * noise(rng, 5, 5, 5) + 0.25
    return pixels(grain(rng, ramp(light, (148, 116, 76), (206, 174, 124), (240, 216, 172)), 9))


def blue_sky(rng: np.random.Generator) -> Pixels:
    """A clear sky, paler towards the horizon."""
    _, y = grid()
    depth = rng.uniform(0.8, 1.1)
    haze = 0.12 * noise(rng, 2, 3, 3)
    return pixels(grain(rng, ramp(y * depth * 0.85 + haze, (52, 110, 196), (112, 166, 226), (190, 216, 240)), 1.2))


def clouds(rng: np.random.Generator) -> Pixels:
    """White clouds before a blue sky."""
    cover = noise(rng, 3, 4, 6, 0.55)
    amount = np.clip((cover - rng.uniform(0.4, 0.5)) * 4, 0, 1)[:, :, None]
    shade = ramp(np.clip((cover - 0.4) * 1.6, 0, 1), (255, 255, 255), (240, 242, 246), (176, 184, 196))
    return pixels(blue_sky(rng) * (1 - amount) + shade * amount)


def dusk(rng: np.random.Generator) -> Pixels:
    """An evening sky with streaks of cloud."""
    _, y = grid()
    streaks = noise(rng, 2, 12, 5)
    sky = ramp(np.clip(y * 1.05, 0, 1), (52, 48, 104), (150, 84, 130), (236, 130, 96), (252, 196, 112))
    return pixels(grain(rng, sky * (0.72 + 0.4 * streaks[:, :, None]), 2))


def night_sky(rng: np.random.Generator) -> Pixels:
    """Stars of several sizes and a faint band of light."""
    x, y = grid()
    turn = rng.uniform(0, math.pi)
    across = (x - 0.5) * math.cos(turn) + (y - 0.5) * math.sin(turn)
    band = np.exp(-((across / 0.16) ** 2)) * noise(rng, 5, 5, 5)
    sky = ramp(np.clip(0.9 * band, 0, 1), (5, 7, 18), (26, 28, 52), (74, 70, 92))
    image = PILImage.fromarray(pixels(sky))
    draw = ImageDraw.Draw(image)
    for _ in range(700):
        px, py = rng.random(2) * SIDE
        size = min(2.2, 0.35 + rng.exponential(0.35))
        tone = int(rng.uniform(110, 255))
        draw.ellipse((px - size, py - size, px + size, py + size), (tone, tone, min(255, tone + 14)))
    return pixels(grain(rng, np.asarray(image, np.float32), 2))


def calm_water(rng: np.random.Generator) -> Pixels:
    """Ripples that grow towards the viewer, with glints."""
    wide, fine = noise(rng, 4, 28, 4, 0.6), noise(rng, 9, 60, 3, 0.6)
    wave = 0.6 * wide + 0.4 * fine
    tone = ramp(wave, (10, 46, 82), (34, 96, 142), (86, 156, 190))
    glint = np.clip((wave - 0.74) * 5, 0, 1)[:, :, None]
    return pixels(grain(rng, tone * (1 - glint) + np.array([222, 238, 246], np.float32) * glint, 2))


def brick(rng: np.random.Generator) -> Pixels:
    """A wall in running bond."""
    height, width = int(rng.integers(26, 36)), int(rng.integers(72, 92))
    x, y = (np.mgrid[0:SIDE, 0:SIDE][axis] for axis in (1, 0))
    row = y // height
    shifted = x + (row % 2) * (width // 2) + int(rng.integers(width))
    column = shifted // width
    tones = rng.random((row.max() + 1, column.max() + 1)).astype(np.float32)
    wall = ramp(0.75 * tones[row, column] + 0.25 * noise(rng, 30, 30, 3), (112, 48, 36), (158, 72, 50), (190, 104, 76))
    rough = noise(rng, 60, 60, 3)
    edge_y, edge_x = np.minimum(y % height, height - y % height), np.minimum(shifted % width, width - shifted % width)
    joint = np.clip((np.minimum(edge_x, edge_y) - 1.6 - rough) * 0.8, 0, 1)[:, :, None]
    mortar = ramp(rough, (150, 142, 132), (192, 186, 176))
    return pixels(grain(rng, (wall * (0.8 + 0.35 * rough[:, :, None])) * joint + mortar * (1 - joint), 5))


def wood(rng: np.random.Generator) -> Pixels:
    """Planks with grain along them."""
    planks = int(rng.integers(4, 7))
    width = SIDE / planks
    x, _ = grid()
    plank = np.minimum((x * planks).astype(int), planks - 1)
    shift = rng.random(planks).astype(np.float32)
    bend = noise(rng, 5, 2, 3)
    streak = noise(rng, 110, 3, 2, 0.7)
    rings = 0.5 + 0.5 * np.sin(2 * math.pi * ((x * planks) % 1 * rng.uniform(2.5, 4.5) + 2.6 * bend + 7 * shift[plank]))
    tone = 0.3 * rings + 0.4 * streak + 0.3 * shift[plank]
    gap = np.clip(np.abs(((x * SIDE) % width) - width / 2) - width / 2 + 2.2, 0, 1)[:, :, None]
    return pixels(grain(rng, ramp(tone, (96, 58, 30), (154, 104, 60), (200, 152, 98)) * (1 - 0.75 * gap), 4))


def asphalt(rng: np.random.Generator) -> Pixels:
    """Dark road surface with grit."""
    tone = 0.25 + 0.35 * noise(rng, 4, 4, 3) + 0.4 * noise(rng, 110, 110, 2)
    return pixels(grain(rng, ramp(tone, (44, 45, 48), (88, 88, 90), (136, 135, 134)), 11))


def gravel(rng: np.random.Generator) -> Pixels:
    """Small angular stones, lit from the upper left."""
    image = PILImage.new("RGB", (SIDE, SIDE), (52, 48, 45))
    draw = ImageDraw.Draw(image)
    turns = np.linspace(0, 2 * math.pi, 9)[:-1]
    for size in np.sort(rng.uniform(5, 13, 2600))[::-1]:
        x, y = rng.random(2) * SIDE
        radii = size * rng.uniform(0.7, 1.05, 8)
        tone, warm = rng.uniform(96, 196), rng.uniform(-8, 12)
        outline = list(zip(x + radii * np.cos(turns), y + 0.85 * radii * np.sin(turns), strict=True))
        for offset, gain in ((1.6, 0.45), (0, 0.8), (-1.2, 1.0)):
            fill = tuple(int(np.clip(gain * (tone + w), 0, 255)) for w in (warm, 0, -warm))
            scale = 1.0 if offset >= 0 else 0.72
            draw.polygon([(x + (px - x) * scale + offset, y + (py - y) * scale + offset) for px, py in outline], fill)
    return pixels(grain(rng, np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), np.float32), 6))


def fallen_leaves(rng: np.random.Generator) -> Pixels:
    """Autumn leaves on the ground, one over another."""
    image = PILImage.new("RGB", (SIDE, SIDE), (58, 40, 24))
    draw = ImageDraw.Draw(image)
    along = np.linspace(0, 1, 9)
    side = np.sin(math.pi * along) ** 0.8 * 0.34
    tones = np.array([(186, 96, 30), (150, 70, 26), (206, 148, 48), (128, 84, 44), (172, 50, 28), (190, 164, 84)])
    for _ in range(1100):
        x, y = rng.random(2) * SIDE
        size, turn = rng.uniform(22, 46), rng.uniform(0, 2 * math.pi)
        cos, sin = math.cos(turn) * size, math.sin(turn) * size
        points = np.concatenate([np.stack([along, side], 1), np.stack([along, -side], 1)[::-1]])
        outline = [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in points]
        tone = tones[rng.integers(len(tones))] * rng.uniform(0.7, 1.15)
        draw.polygon([(px + 2, py + 3) for px, py in outline], (34, 24, 16))
        draw.polygon(outline, tuple(int(min(255, c)) for c in tone))
        draw.line((x, y, x + cos, y + sin), tuple(int(c * 0.7) for c in tone), 1)
    leaves = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    return pixels(grain(rng, leaves * (0.85 + 0.3 * noise(rng, 40, 40, 3)[:, :, None]), 5))


PAINTERS: dict[str, Painter] = {
    "grass": grass,
    "fallen leaves": fallen_leaves,
    "gravel": gravel,
    "calm water": calm_water,
    "blue sky": blue_sky,
    "clouds": clouds,
    "dusk": dusk,
    "night sky": night_sky,
    "snow": snow,
    "sand": sand,
    "asphalt": asphalt,
    "brick": brick,
    "wood": wood,
}
"""Kinds of background that can be painted where the pack has no photograph of them."""
