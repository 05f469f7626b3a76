"""Proxies of `system`, `tools` and images, for programs. Runs in the child, without MAIA."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Set, ValuesView
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image as PILImage

from . import values
from .texts import CallLimitError, ToolError, near

Ask = Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]
"""Sends one frame and returns the reply to it."""


class Image:
    """An image: id, title, shows, width, height, size; `to_pil()` or `numpy.asarray(image)` fetch its pixels."""

    __slots__ = ("__weakref__", "_ask", "_handle", "height", "id", "shows", "title", "width")

    def __init__(self, *own: Any) -> None:
        for name, value in zip(("_ask", "_handle", "id", "title", "shows", "width", "height"), own, strict=True):
            object.__setattr__(self, name, value)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as in PIL."""
        return self.width, self.height

    @property
    def clean(self) -> Any:
        """The image without its mask, or this image where it has none."""
        return self._ask({"op": "clean", "image": self._handle})

    @property
    def mask(self) -> Any:
        """The mask, bool of shape (height, width), or None where the image has none."""
        reply, blob = self._ask({"op": "mask", "image": self._handle})
        return np.frombuffer(blob, bool).reshape(self.height, self.width).copy() if reply["masked"] else None

    def to_pil(self) -> PILImage.Image:
        """Returns the pixels as a PIL image of mode RGB."""
        return PILImage.fromarray(self.__array__())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        _, blob = self._ask({"op": "pixels", "image": self._handle})
        return np.frombuffer(blob, np.uint8).reshape(self.height, self.width, 3).astype(dtype or np.uint8)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"an image has no attribute {name!r}. Available: clean, height, id, mask, shows, size, title, to_pil(), "
            "width; for pixels use to_pil() or numpy.asarray(image)"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an image cannot be changed; make a new one with PIL or numpy")

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Image) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __lt__(self, other: object) -> bool:
        """Orders images by title, so that `sorted(zip(activations, images))` works where activations are equal."""
        return (self.title, self.id) < (other.title, other.id) if isinstance(other, Image) else NotImplemented

    def __repr__(self) -> str:
        return f"<Image {self.title!r} {self.width}x{self.height}>"


class Proxy:
    """The base of `system` and `tools`: a program that names `System` or `Tools` in an annotation can do so."""

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls in (System, Tools):
            raise TypeError(f"a program makes no {cls.__name__}; use `system` and `tools` of run_experiment")
        return super().__new__(cls)


class System(Proxy):
    """The class of each proxy of the system, so that a program can pass it to a tool."""

    __slots__ = ()


class Tools(Proxy):
    """The class of each proxy of the tools."""

    __slots__ = ()


class Calls:
    """Makes the proxies of one worker, and carries their calls to the host and back.

    Args:
        send: Sends a frame and waits for its reply.
        flush: Sends the printed text that waits.
        limits: `depth`, `frame_mb` and `image_side` of the host's limits.
    """

    def __init__(self, send: Ask, flush: Callable[[], None], limits: dict[str, Any]) -> None:
        self._send, self._flush, self._limits = send, flush, limits
        self._live: weakref.WeakValueDictionary[int, Image] = weakref.WeakValueDictionary()
        self._dropped: set[int] = set()

    def proxy(self, name: str, start: dict[str, Any]) -> Any:
        """Makes `system` or `tools` from the methods of the host; a new one each time, so that no change lasts."""
        offered = {method.partition(".")[2]: method for method in start["methods"] if method.startswith(f"{name}.")}
        shown = sorted(short for short, method in offered.items() if method not in start["hidden"])
        listed = ", ".join(shown)

        def missing(self: Any, other: str) -> Any:
            raise AttributeError(f"'{name}' has no attribute '{other}'.{near(other, shown)} Available: {listed}")

        def unchangeable(self: Any, attribute: str, *value: Any) -> None:
            raise AttributeError(f"'{name}.{attribute}' cannot be replaced")

        members: dict[str, Any] = {
            "__slots__": (),
            "__getattr__": missing,
            "__setattr__": unchangeable,
            "__delattr__": unchangeable,
            "__dir__": lambda self: shown,
            "__repr__": lambda self: f"<{name}: {listed}>",
        }
        for short, method in offered.items():
            is_property = method in start["properties"]
            call = self._caller(method, short, skipped=int(is_property))
            members[short] = property(call) if is_property else staticmethod(call)
        return type(name, (System if name == "system" else Tools,), members)()

    def _caller(self, method: str, short: str, skipped: int) -> Callable[..., Any]:
        """Returns the function that calls a method without its first arguments, such as the proxy of a property."""

        def call(*args: Any, **kwargs: Any) -> Any:
            pixels: list[bytes] = []

            def other(value: Any, level: int) -> Any:
                return self._encode_other(value, level, encode, pixels)

            encode = values.Encoder(other, self._limits["depth"])
            try:
                request: dict[str, Any] = {"op": "call", "method": method, "args": list(map(encode, args[skipped:]))}
                request["kwargs"] = {values.text(key): encode(value) for key, value in kwargs.items()}
                return self.ask(request, b"".join(pixels))
            except values.Unfit as error:
                raise ToolError(
                    f"{method} cannot be given {error}. Arguments are None, bool, int, float, str, list, tuple, dict, "
                    "images, and arrays of numbers"
                ) from None

        call.__name__, call.__qualname__ = short, method
        return call

    def shown(self, value: Any) -> tuple[list[Any], bytes]:
        """Returns the images in a returned value, encoded, and their pixels."""
        pixels: list[bytes] = []
        encode = values.Encoder(lambda image, level: self._encode_other(image, level, encode, pixels), 0)
        images = []
        for image in islice(_images_in(value, set()), values.MAX_SHOWN):
            with suppress(values.Unfit):  # An image that is too large to show is only named.
                images.append(encode(image))
        return images, b"".join(pixels)

    def _encode_other(self, value: Any, level: int, encode: values.Encoder, pixels: list[bytes]) -> Any:
        if isinstance(value, Image):
            return {"i": value._handle}
        if isinstance(value, System):
            return {"s": None}
        if isinstance(value, np.generic):
            return encode(value.item(), level)
        if isinstance(value, np.ndarray):
            if not (value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3):
                if value.dtype.kind not in "biuf" or value.size > values.MAX_VALUES:
                    raise values.Unfit(f"an array of {value.size:,} values of type {value.dtype}")
                return encode(value.tolist(), level)
            height, width = value.shape[:2]
        elif isinstance(value, PILImage.Image):
            width, height = value.size
        elif isinstance(value, range | Iterator | Set | ValuesView):
            return encode(list(islice(value, values.MAX_VALUES + 1)), level)
        else:
            raise values.Unfit(f"a value of type {type(value).__name__}")
        side = self._limits["image_side"]
        if not (0 < width <= side and 0 < height <= side):
            raise values.Unfit(f"an image of {width}x{height}; sides are 1 to {side} pixels")
        if sum(map(len, pixels)) + width * height * 3 > self._limits["frame_mb"] << 20:
            raise values.Unfit(f"more than {self._limits['frame_mb']} MB of pixels in one call")
        pixels.append(value.tobytes() if isinstance(value, np.ndarray) else rgb(value).tobytes())
        return {"r": [width, height]}

    def ask(self, request: dict[str, Any], blob: bytes = b"") -> Any:
        """Asks the host, and returns the value (of a request for pixels: reply and bytes) or raises its error."""
        if self._dropped:
            request["drop"] = sorted(self._dropped)
            self._dropped.clear()
        self._flush()
        reply, data = self._send(request, blob)
        if "error" in reply:
            kind, text = reply["error"]
            raise (ToolError if kind == "ToolError" else CallLimitError)(text)
        if "value" not in reply:
            return reply, data
        return values.Decoder(self._received_image, self._limits["depth"] + 1)(reply["value"])

    def _received_image(self, tag: str, content: list[Any]) -> Image:
        handle = content[0]
        image = self._live.get(handle)
        if image is None:
            image = self._live[handle] = Image(self.ask, *content)
            self._dropped.discard(handle)
            weakref.finalize(image, self._forget, handle).atexit = False
        return image

    def _forget(self, handle: int) -> None:
        if handle not in self._live:
            self._dropped.add(handle)


def _images_in(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yields each image in a value once, in order; `seen` holds the ids of the values that were searched."""
    if not isinstance(value, Image | PILImage.Image | dict | list | tuple) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _images_in(item, seen)
    else:
        yield value


def rgb(image: PILImage.Image) -> PILImage.Image:
    """Returns a PIL image in mode RGB; 16-bit grey is cut to 8 bits, transparency is laid on white."""
    if image.mode.startswith("I;16"):
        image = PILImage.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = PILImage.alpha_composite(PILImage.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
