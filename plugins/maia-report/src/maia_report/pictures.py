"""Puts every image into the page once: a small WebP, and beside it the mask as a dark veil and as an outline."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from PIL import Image as PILImage

from maia_core.plugin import Image, MaiaError, Pixels
from maia_report.maps import ActivationMap
from maia_report.masks import DRAWINGS, SIDE, is_inactive

BUDGET = 6 << 20
"""Most bytes that all pictures of a page take in it, as text of their data URIs."""

MAX_PICTURES, MAX_PIXELS = 1000, 1 << 28
"""Most pictures of a page, and most pixels that are read for them: a record from elsewhere may hold any number."""

MIN_BYTES = 200
"""No picture takes fewer bytes."""

RUNGS = ((SIDE, 80), (224, 76), (160, 70), (112, 62), (72, 50), (40, 40))
"""Longest side in pixels and WebP quality, best first: a picture goes down until it fits its share of the budget."""

LEFT_OUT = "left out to keep the page small"


@dataclass
class Picture:
    """How one image is put into a page: by classes of its style, or by addresses.

    Attributes:
        css: Class that shows the clean image; empty where it cannot be shown.
        thumbnail: Address of a small copy of the clean image, instead of a class.
        full: Address of the whole clean image.
        masks: Class or address of each drawing of the mask, by its name in `maia_report.masks.DRAWINGS`, and of the
            unit's map under the name `map`.
        inactive: True where the mask hides all of the image: it is shown as it is.
        problem: Why the image or its mask cannot be shown; empty if it can.
    """

    css: str = ""
    thumbnail: str = ""
    full: str = ""
    masks: dict[str, str] = field(default_factory=dict)
    inactive: bool = False
    problem: str = ""


class _LeftOut(Exception):
    """The budget is used up."""


class Gallery:
    """The pictures of a page, each embedded once however often it is shown."""

    def __init__(
        self, images: Iterable[Image], budget: int = BUDGET, maps: Mapping[str, ActivationMap] | None = None
    ) -> None:
        """Reads and shrinks all images, one at a time.

        Args:
            images: What the page shows; repetitions are welcome.
            budget: Most bytes of all data URIs together. Each image may take an equal share of what is left.
            maps: The unit's map on images, by the id of the clean image.
        """
        self._rules: dict[str, str] = {}
        self._left = budget
        self._classes: dict[str, str] = {}
        self._pictures: dict[tuple[str, str], Picture] = {}
        self._maps = maps or {}
        self._extras: list[tuple[Picture, str, str]] = []
        unique = list({_key(image): image for image in images}.values())[:MAX_PICTURES]
        pixels = MAX_PIXELS
        for number, image in enumerate(unique):
            share = self._left // (len(unique) - number)
            pixels -= image.width * image.height
            left_out = share < MIN_BYTES or pixels < 0
            self._pictures[_key(image)] = Picture(problem=LEFT_OUT) if left_out else self._embed(image, share)
        # With the bytes that are left: a picture without an outline keeps its dark veil.
        for picture, name, uri in self._extras:
            if len(uri) <= self._left:
                picture.masks[name] = self._add("v", uri)

    def __getitem__(self, image: Image) -> Picture:
        """Returns how an image is shown."""
        return self._pictures.get(_key(image)) or Picture(problem=LEFT_OUT)

    @property
    def css(self) -> str:
        """The style rules that hold the pictures."""
        return "".join(f".{name}{{background-image:url({uri})}}\n" for name, uri in self._rules.items())

    def _embed(self, image: Image, share: int) -> Picture:
        picture = Picture(inactive=is_inactive(image))
        clean = image.clean or image
        try:
            css = self._classes.get(clean.id)
            if css is None:
                uri = _webp(clean.pixels(), share)
                if not uri:
                    return Picture(problem=LEFT_OUT)
                css = self._classes[clean.id] = self._add("i", uri)
            picture.css = css
            if not picture.inactive and (mask := image.mask()) is not None:
                uris = {name: _uri(draw(mask), "png", optimize=True, bits=2) for name, draw in DRAWINGS.items()}
                if len(uris["dark"]) > self._left:
                    raise _LeftOut
                picture.masks["dark"] = self._add("v", uris["dark"])
                self._extras.append((picture, "outline", uris["outline"]))
            if unit_map := self._maps.get(clean.id):
                heat = unit_map.heat(clean.width, clean.height)
                self._extras.append((picture, "map", _uri(heat, "webp", quality=70, method=4)))
        except _LeftOut:
            picture.problem = f"mask {LEFT_OUT}"
        except (MaiaError, OSError, ValueError, MemoryError):
            # The error would name a path of this machine: the page is for others too.
            picture.problem = "the record lacks its mask" if picture.css else "missing from the record"
        return picture

    def _add(self, prefix: str, uri: str) -> str:
        name = f"{prefix}{len(self._rules)}"
        self._rules[name] = uri
        self._left -= len(uri)
        return name


def _key(image: Image) -> tuple[str, str]:
    return image.id, image.clean.id if image.clean else ""


def _webp(pixels: Pixels, share: int) -> str:
    small = PILImage.fromarray(pixels)
    for side, quality in RUNGS:
        small.thumbnail((side, side), PILImage.Resampling.LANCZOS)
        uri = _uri(small, "webp", quality=quality, method=4)
        if len(uri) <= share:
            return uri
    return ""


def _uri(image: PILImage.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind.upper(), **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
