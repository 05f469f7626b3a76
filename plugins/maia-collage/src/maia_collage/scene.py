"""A scene: what is in a collage, exactly, and how it is drawn. Drawing is a pure function of scene, pack and size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import Field, JsonValue, ValidationError

from maia_collage import colours
from maia_collage.backgrounds import Background, paint
from maia_collage.pack import Cutout, Pack
from maia_core.plugin import Data, Image, Mask, Pixels
from maia_labels.vocabulary import vocabulary

VERSION = 1
"""Raised whenever the same scene would be drawn with other pixels."""

KEY = "collage"
"""Where an image's provenance holds its scene."""

FAINT = 24
"""Alpha under which an object's edge is cut, so that its mask holds every pixel that it changes."""

MAX_SIDE = 0.94
"""Longest side of an object, as a fraction of the image's."""


class Placed(Data):
    """One object in a scene.

    Attributes:
        cutout: Id of the cut-out in the pack.
        x: Centre of its box from the left, as a fraction of the image.
        y: Centre of its box from the top, likewise.
        scale: Square root of its box's area, as a fraction of the image's side.
        flip: Mirrored left to right.
        colour: Name of the colour painted on it; empty for its own colours.
    """

    cutout: str
    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)
    scale: float = Field(gt=0, le=1)
    flip: bool = False
    colour: str = ""

    def has_colour(self, colour: str, pack: Pack) -> bool:
        """Tells whether the object shows a colour (without shade): the one it is painted in, or one of its own."""
        if self.colour:
            return colours.base(self.colour) == colour
        return pack.cutout(self.cutout).has_colour(colour)

    def has_only(self, colour: str, pack: Pack) -> bool:
        """Tells whether the object shows this colour (without shade) and no other by nature."""
        return self.has_colour(colour, pack) and (
            bool(self.colour) or len(pack.cutout(self.cutout).natural_colours) == 1
        )


class Scene(Data):
    """A background and the objects before it, none of which hides another."""

    background: Background
    objects: tuple[Placed, ...] = ()

    def with_objects(self, *objects: Placed) -> Scene:
        """Returns the same background with these objects."""
        return self.model_copy(update={"objects": objects})

    def concepts(self, pack: Pack) -> list[str]:
        """Returns the names of what the scene shows.

        The objects first, then what they are in broader terms, then the background and its broader kinds.
        """
        paths = [vocabulary().concepts.path(pack.cutout(o.cutout).concept) for o in self.objects]
        broader = [name for path in paths for name in path[1:]]
        return list(dict.fromkeys([path[0] for path in paths] + broader + self.background.names()))


class Rendered(NamedTuple):
    """A drawn scene: RGB pixels, and for each object the mask of the pixels that it changed."""

    pixels: Pixels
    masks: list[Mask]


def extent(scale: float, aspect: float) -> tuple[float, float]:
    """Returns width and height of an object's box for a scale and an aspect, all as fractions of the image."""
    root = math.sqrt(aspect)
    return scale * root, scale / root


def fitting(scale: float, aspect: float) -> float:
    """Returns the scale, made smaller where the object's longest side would exceed `MAX_SIDE`."""
    return min(scale, MAX_SIDE / max(extent(1.0, aspect)))


def render(scene: Scene, pack: Pack, size: int) -> Rendered:
    """Draws a scene.

    Args:
        scene: What to draw.
        pack: The pack that the scene was made with.
        size: Side of the image in pixels.

    Raises:
        UsageError: the pack lacks a cut-out of the scene, or is damaged.
    """
    return Rendered(draw(scene, pack, size), object_masks(scene, pack, size))


def draw(scene: Scene, pack: Pack, size: int) -> Pixels:
    """Returns the pixels of a scene; see `render`."""
    pixels = paint(pack, scene.background, size)
    for placed in scene.objects:
        left, top, width, height = box(placed, pack.cutout(placed.cutout), size)
        colour, alpha = _scaled(pack, placed.cutout, width, height, placed.flip, placed.colour)
        behind = pixels[top : top + height, left : left + width]
        # Colour is premultiplied: what shines through is the rest of 255.
        behind[:] = colour + (behind * (255 - alpha[:, :, None].astype(np.uint16)) + 127) // 255
    return pixels


def object_masks(scene: Scene, pack: Pack, size: int) -> list[Mask]:
    """Returns where the objects of a scene are, without drawing its background; see `render`."""
    masks = []
    for placed in scene.objects:
        left, top, width, height = box(placed, pack.cutout(placed.cutout), size)
        _, alpha = _scaled(pack, placed.cutout, width, height, placed.flip, placed.colour)
        mask = np.zeros((size, size), np.bool_)
        mask[top : top + height, left : left + width] = alpha > 0
        masks.append(mask)
    return masks


def box(placed: Placed, cutout: Cutout, size: int) -> tuple[int, int, int, int]:
    """Returns left, top, width and height of an object in pixels, wholly inside the image."""
    width, height = (min(size, max(1, round(side * size))) for side in extent(placed.scale, cutout.aspect))
    left = min(max(0, round(placed.x * size - width / 2)), size - width)
    top = min(max(0, round(placed.y * size - height / 2)), size - height)
    return left, top, width, height


@lru_cache(maxsize=128)
def _scaled(
    pack: Pack, cutout_id: str, width: int, height: int, flip: bool, colour: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns premultiplied colour, shape (height, width, 3), and alpha, shape (height, width)."""
    picture = pack.picture(pack.cutout(cutout_id))
    if colour:
        picture = _repainted(picture, colour)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), PILImage.Resampling.BICUBIC, reducing_gap=2.0)
    pixels = np.asarray(picture)
    if flip:
        pixels = pixels[:, ::-1]
    alpha = np.where(pixels[:, :, 3] < FAINT, 0, pixels[:, :, 3]).astype(np.uint8)
    # Bicubic overshoot must not make colour stronger than its alpha.
    return np.minimum(pixels[:, :, :3], alpha[:, :, None]), alpha


def _repainted(picture: PILImage.Image, colour: str) -> PILImage.Image:
    rgba = np.array(picture.convert("RGBA"))
    rgba[:, :, :3] = colours.repaint(rgba[:, :, :3], rgba[:, :, 3], colour)
    return PILImage.fromarray(rgba).convert("RGBa")


def image(scene: Scene, pack: Pack, size: int, title: str = "", **provenance: JsonValue) -> Image:
    """Draws a scene as an image that carries the scene in its provenance."""
    record: dict[str, JsonValue] = {
        "pack": pack.fingerprint,
        "scene": scene.model_dump(mode="json", exclude_defaults=True),
    }
    return Image.from_pixels(draw(scene, pack, size), title, **{**provenance, KEY: record})


def scene_of(picture: Image, pack: Pack) -> Scene | None:
    """Returns the scene of an image that was drawn with this pack, or None."""
    record = (picture.clean or picture).provenance.get(KEY)
    if not isinstance(record, Mapping) or record.get("pack") != pack.fingerprint:
        return None
    try:
        return Scene.model_validate(record.get("scene"))
    except ValidationError:
        return None
