"""Proxies for cells: the same `system`, `tools` and `Image` that a program in the sandbox has."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image as PILImage

from maia_core import plugin
from maia_sandbox import handles, texts
from maia_sandbox.texts import ToolError
from maia_sandbox.values import MAX_VALUES, Decoder, Encoder, Unfit

DEEPEST = 50
"""Deepest nesting of an argument."""

ACCEPTED = "Arguments are None, bool, int, float, str, list, tuple, dict, images, and arrays of numbers"

Ask = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]
"""Carries out a call: method such as `tools.text2image`, positional arguments, keyword arguments."""


class Image(handles.Image):
    """An image: id, title, shows, width, height, size, clean, mask; pixels by `to_pil()` or `numpy.asarray(image)`."""

    __slots__ = ()

    def __init__(self, image: plugin.Image) -> None:
        super().__init__(_answer, image, image.id, image.title, image.shows, image.width, image.height)

    def _repr_png_(self) -> bytes:
        """Shows the image in a notebook: outside of a mask darkened."""
        return png(self._handle)


def png(image: plugin.Image) -> bytes:
    """Returns an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.pil().save(buffer, "PNG")
    return buffer.getvalue()


def _answer(request: Mapping[str, Any]) -> Any:
    """Answers what a sandbox's image asks its host."""
    image: plugin.Image = request["image"]
    if request["op"] == "clean":
        return Image(image.clean or image)
    pixels = image.pixels() if request["op"] == "pixels" else image.mask()
    return {"masked": pixels is not None}, b"" if pixels is None else pixels.tobytes()


def inward(value: Any, method: str) -> Any:
    """Returns an argument of a cell as a value that a host takes.

    Raises:
        ToolError: it cannot be one; the text says what can.
    """
    try:
        return _converted(value, _for_host)
    except Unfit as error:
        raise ToolError(f"{method} cannot be given {error}. {ACCEPTED}") from None


def outward(value: Any) -> Any:
    """Returns a host's result as a cell gets it."""
    return _converted(value, lambda image: Image(image) if isinstance(image, plugin.Image) else image)


def _for_host(value: Any) -> Any:
    match value:
        case Image():
            return value._handle
        case plugin.Image():
            return value
        case Proxy() if value._maia_name == "system":
            return plugin.SystemRef()
        case PILImage.Image():
            return plugin.Image.from_pil(value, source="program")
        case np.ndarray() if value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3 and value.size:
            return plugin.Image.from_pixels(value.copy(), source="program")
        case np.ndarray() if value.dtype.kind in "biuf" and value.size <= MAX_VALUES:
            return value.tolist()
        case np.ndarray():
            raise Unfit(f"an array of {value.size:,} values of type {value.dtype}")
    raise Unfit(f"a value of type {type(value).__name__}")


def _converted(value: Any, convert: Callable[[Any], Any]) -> Any:
    """Returns a value as it arrives through a sandbox's codec, with `convert` applied to images and other objects."""
    objects: list[Any] = []

    def other(item: Any, level: int) -> Any:
        made = item.item() if isinstance(item, np.generic) else convert(item)
        if isinstance(made, list | bool | int | float | str):
            return encode(made, level)
        objects.append(made)
        return {"i": len(objects) - 1}

    encode = Encoder(other, DEEPEST)
    return Decoder(lambda tag, place: objects[place], DEEPEST + 1)(encode(value))


class Proxy:
    """What `system` and `tools` of a notebook are."""

    __slots__ = ()
    _maia_name = ""


def proxy(
    name: str, offered: Mapping[str, Callable[..., Any]], ask: Ask, known: Mapping[str, Callable[[], Any]] | None = None
) -> Any:
    """Makes `system` or `tools`: methods with the signatures and docstrings of what stands behind them.

    Args:
        name: `system` or `tools`.
        offered: The methods by their short names; one with a true attribute `is_property` is read without a call.
        ask: What carries out a call.
        known: Properties that are known without a call.
    """
    names = [*offered, *(known or {})]
    listed = ", ".join(sorted(names))

    def missing(self: Any, attribute: str) -> Any:
        near = texts.near(attribute, names)
        raise AttributeError(f"'{name}' has no attribute '{attribute}'.{near} Available: {listed}")

    def unchangeable(self: Any, attribute: str, *value: Any) -> None:
        raise AttributeError(f"'{name}.{attribute}' cannot be replaced")

    members: dict[str, Any] = {
        "__slots__": (),
        "__getattr__": missing,
        "__setattr__": unchangeable,
        "__delattr__": unchangeable,
        "__dir__": lambda self: sorted(names),
        "__repr__": lambda self: f"<{name}: {listed}>",
        "_maia_name": name,
    }
    for short, function in offered.items():
        members[short] = _method(f"{name}.{short}", short, function, ask)
    for short, read in (known or {}).items():
        members[short] = _known(read)
    return type(name, (Proxy,), members)()


def _known(read: Callable[[], Any]) -> property:
    return property(lambda self: read(), doc=read.__doc__)


def _method(method: str, short: str, function: Callable[..., Any], ask: Ask) -> Any:
    target = function if inspect.isroutine(function) else type(function).__call__
    doc = inspect.getdoc(target) or inspect.getdoc(type(function)) or ""
    if getattr(function, "is_property", False):
        return property(lambda self: ask(method, (), {}), doc=doc)

    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        return ask(method, args, kwargs)

    call.__name__, call.__qualname__, call.__doc__ = short, method, doc
    signature = inspect.signature(target)
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    # The worker's types are checked at run time.
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return staticmethod(call)
