"""Images as handles: pixels stay behind an `Image` until someone looks at them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, PrivateAttr

from maia_core.errors import UsageError
from maia_core.pixels import as_rgb
from maia_core.text import recordable

Pixels = NDArray[np.uint8]
"""RGB pixels: shape (height, width, 3), dtype uint8, values 0 to 255."""

Mask = NDArray[np.bool_]
"""What to look at in an image: shape (height, width), dtype bool, True where the image is kept bright."""

MASK_DARKENING = 0.25
"""Brightness of what a mask hides, as a fraction of the original (the paper's reference code)."""


class Data(BaseModel):
    """Base of MAIA's immutable data types: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def content_id(*chunks: bytes | memoryview) -> str:
    """Returns the content hash that names images, files and cache entries: 32 hexadecimal digits of BLAKE2b."""
    digest = hashlib.blake2b(digest_size=16)
    for chunk in chunks:
        digest.update(memoryview(chunk).nbytes.to_bytes(8, "big"))
        digest.update(chunk)
    return digest.hexdigest()


MAX_TITLE = 1000
"""Longest title of an image; what is longer is cut."""


def _cut(title: str) -> str:
    """A prompt may be as long as a book; under an image, and in every record of it, its beginning is enough."""
    title = recordable(title)
    return title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…"


class Image(Data):
    """A handle to one RGB image: cheap to copy, hash and record; its pixels are loaded when asked for.

    Make one with `from_pixels` or `from_pil`. A masked image is a clean
    image with a mask beside it (`masked`): nothing is baked in, so the clean one is always available.

    Attributes:
        id: Content hash of the pixels (and of the mask, where there is one).
        title: What a person or a backbone calls the image: a prompt, "exemplar 3". May be empty.
        width: Width in pixels.
        height: Height in pixels.
        clean: The image without its mask; None for an image that has no mask.
        shows: What a generated image really shows ("a fox on grass"), where its generator knows; else empty.
        provenance: Where the image comes from, for the record only: it never reaches a program, a message to a
            backbone or a describer.
    """

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    title: Annotated[str, AfterValidator(_cut)] = ""
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    clean: Image | None = None
    shows: Annotated[str, AfterValidator(_cut)] = ""
    provenance: dict[str, JsonValue] = Field(default_factory=dict)

    _load: Callable[[], NDArray[Any]] | None = PrivateAttr(default=None)

    @classmethod
    def from_pixels(cls, pixels: Pixels, title: str = "", **provenance: JsonValue) -> Image:
        """Makes a handle to pixels that are in memory; the array must not be changed afterwards.

        Raises:
            UsageError: `pixels` is not a uint8 array of shape (height, width, 3).
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            given = f"{pixels.dtype} {pixels.shape}"
            raise UsageError(f"an image needs uint8 pixels of shape (height, width, 3), not {given}")
        pixels = np.ascontiguousarray(pixels)
        height, width = pixels.shape[:2]
        name = content_id(f"{width}x{height}".encode(), pixels.data)
        return cls(id=name, title=title, width=width, height=height, provenance=provenance).bind(lambda: pixels)

    @classmethod
    def from_pil(cls, image: PILImage.Image, title: str = "", **provenance: JsonValue) -> Image:
        """Makes a handle to a PIL image of any mode, see `as_rgb`: upright, 16 bits cut to 8, transparency on white.

        Raises:
            UsageError: its pixels have no known range.
        """
        return cls.from_pixels(np.asarray(as_rgb(image)), title, **provenance)

    def bind(self, load: Callable[[], NDArray[Any]]) -> Image:
        """Sets how the pixels (of a masked image: the mask) are loaded, and returns this handle."""
        self._load = load
        return self

    def retitled(self, title: str) -> Image:
        """Returns the same image under another title."""
        return self._copy(title=_cut(title))

    def showing(self, text: str) -> Image:
        """Returns the same image with `shows` set."""
        return self._copy(shows=_cut(text))

    def anonymous(self) -> Image:
        """Returns the same pixels and mask without title, `shows` and provenance: all that a describer may see."""
        clean = self.clean.anonymous() if self.clean else None
        return self._copy(title="", shows="", provenance={}, clean=clean)

    def masked(self, mask: Mask) -> Image:
        """Returns this image with everything outside of `mask` darkened; an earlier mask is replaced.

        Args:
            mask: bool array of shape (height, width), True where the image stays bright.

        Raises:
            UsageError: the mask's shape or type does not fit the image.
        """
        clean, sides = self.clean or self, (self.height, self.width)
        if mask.dtype != np.bool_ or mask.shape != sides:
            raise UsageError(f"a mask for this image is bool of shape {sides}, not {mask.dtype} {mask.shape}")
        packed = np.packbits(mask)
        name = content_id(clean.id.encode(), packed.tobytes())
        image = self._copy(id=name, clean=clean)
        return image.bind(lambda: np.unpackbits(packed, count=sides[0] * sides[1]).reshape(sides).view(np.bool_))

    def mask(self) -> Mask | None:
        """Returns the mask, bool of shape (height, width), or None for an image without one."""
        return self._loaded() if self.clean else None

    def pixels(self) -> Pixels:
        """Returns the pixels as they are shown: outside of a mask darkened to a quarter. Do not write to the array.

        Where the mask is empty nothing is darkened: the image does not activate the unit, and is seen as it is.
        """
        if self.clean is None:
            return self._loaded()
        pixels, bright = self.clean.pixels(), self._loaded()[:, :, None]
        dark = (pixels * np.float32(MASK_DARKENING)).astype(np.uint8)
        return np.where(bright | ~bright.any(), pixels, dark)

    def pil(self) -> PILImage.Image:
        """Returns `pixels()` as a PIL image of mode RGB."""
        return PILImage.fromarray(self.pixels())

    def _loaded(self) -> NDArray[Any]:
        if self._load is None:
            raise UsageError(f"the pixels of image {self.id} are not loaded; open its run folder to load them")
        return self._load()

    def _copy(self, **changes: Any) -> Image:
        copy = self.model_copy(update=changes)
        copy._load = self._load
        return copy

    def model_post_init(self, context: Any) -> None:
        """Binds a handle that was read from a record to the pixel store passed as validation context."""
        if isinstance(context, Mapping) and "images" in context:
            store, image_id, masked = context["images"], self.id, self.clean is not None
            self._load = lambda: store.load(image_id, masked, self.width, self.height)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and (self.id, self.title) == (other.id, other.title)

    def __hash__(self) -> int:
        return hash(self.id)
