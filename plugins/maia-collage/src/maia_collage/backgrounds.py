"""Backgrounds: a crop of a photograph or of a painted tile, a plain colour, or a pattern of two colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image as PILImage

from maia_collage import colours
from maia_collage.pack import Pack, Photograph
from maia_collage.textures import PAINTERS
from maia_core.plugin import Data, Pixels
from maia_labels.vocabulary import PATTERNS, PLAIN, vocabulary

TILES = 4
"""How many tiles of a kind are painted; a background is a crop of one of them."""


class Background(Data):
    """The picture behind the objects.

    Attributes:
        kind: A kind that `drawable` lists.
        seed: Decides tile, crop and flip.
        colour: Of a plain background or a pattern; another kind is painted over in it. Empty: as it is.
        second: A pattern's other colour.
    """

    kind: str
    seed: int
    colour: str = ""
    second: str = ""

    def names(self) -> list[str]:
        """Returns the kind and its broader ones, the colour before them where it has one of its own."""
        path = vocabulary().kinds.path(self.kind)
        return [f"{self.colour} {'background' if self.kind == PLAIN else self.kind}", *path] if self.colour else path


def drawable(pack: Pack, kind: str | None = None) -> Sequence[str]:
    """Returns the kinds at or below `kind` (all kinds where it is None) that can be drawn with a pack."""
    tree = vocabulary().kinds
    below = tree if kind is None else tree.below(kind)
    return [k for k in below if k == PLAIN or k in PATTERNS or k in PAINTERS or k in pack.photographs]


def paint(pack: Pack, background: Background, size: int) -> Pixels:
    """Draws a background as a new array of shape (size, size, 3)."""
    rng = np.random.default_rng([background.seed, 11])
    if background.kind == PLAIN:
        plain = np.empty((size, size, 3), np.uint8)
        plain[:] = colours.rgb(background.colour or "grey")
        return plain
    if background.kind in PATTERNS:
        return _pattern(background, size, rng)
    tile = _tile(pack, background.kind, rng)
    side = rng.uniform(0.5, 0.85) * min(tile.size)
    left, top = rng.uniform(0, tile.width - side), rng.uniform(0, tile.height - side)
    crop = tile.resize((size, size), PILImage.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels = np.array(crop)
    if rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    if background.colour:
        pixels = colours.repaint(pixels, np.full(pixels.shape[:2], 255, np.uint8), background.colour)
    return pixels


def _tile(pack: Pack, kind: str, rng: np.random.Generator) -> PILImage.Image:
    photographs = pack.photographs.get(kind, [])
    pick = int(rng.integers(len(photographs) + (kind in PAINTERS)))
    if pick < len(photographs):
        return _photograph(pack, photographs[pick])
    return _painted(kind, int(rng.integers(TILES)))


@lru_cache(maxsize=24)
def _photograph(pack: Pack, photograph: Photograph) -> PILImage.Image:
    return PILImage.fromarray(pack.photograph(photograph))


@lru_cache(maxsize=len(PAINTERS) * TILES)
def _painted(kind: str, number: int) -> PILImage.Image:
    return PILImage.fromarray(PAINTERS[kind](np.random.default_rng([number, 7])))


def _pattern(background: Background, size: int, rng: np.random.Generator) -> Pixels:
    """Stripes, dots or checks, with edges a pixel soft."""
    period = rng.uniform(0.09, 0.2) * size
    turn = (
        rng.choice([0.0, math.pi / 2, math.pi / 4]) if background.kind == "stripes" else rng.choice([0.0, math.pi / 4])
    )
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) + rng.uniform(0, period)
    u = (x * math.cos(turn) + y * math.sin(turn)) / period
    v = (y * math.cos(turn) - x * math.sin(turn)) / period
    # A distance to the edge, in periods, positive where the first colour is.
    if background.kind == "stripes":
        inside = 0.25 - np.abs(u % 1 - 0.5)
    elif background.kind == "dots":
        inside = 0.3 - np.hypot(u % 1 - 0.5, v % 1 - 0.5)
    else:
        edge_u, edge_v = (0.25 - np.abs(w % 1 - 0.5) for w in (u / 2, v / 2))
        inside = 2 * np.sign(edge_u * edge_v) * np.minimum(np.abs(edge_u), np.abs(edge_v))
    weight = np.clip(inside * period + 0.5, 0, 1)[:, :, None]
    first, second = (
        np.array(colours.rgb(name), np.float32) for name in (background.colour or "black", background.second or "white")
    )
    mixed: Pixels = np.rint(first * weight + second * (1 - weight)).astype(np.uint8)
    return mixed
