"""What a cell gets and gives: the same `system`, `tools` and `Image` that a program in the sandbox has."""

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
from maia_sandbox.values import Unfit

DEEPEST = 50
"""Deepest nesting of an argument."""

ACCEPTED = "Arguments are None, bool, int, float, str, list, tuple, dict, images, and arrays of numbers"

Ask = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]
"""Carries out a call: method such as `tools.text2image`, positional arguments, keyword arguments."""


class Image(handles.Image):
    """An image: id, title, width, height, size, clean; pixels by `to_pil()` or `numpy.asarray(image)`."""

    __slots__ = ()

    def __init__(self, image: plugin.Image) -> None:
        # The worker's types are checked at run time.
        super().__init__(_answer, image, image.id, image.title, image.width, image.height)  # type: ignore[arg-type]

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
    return {}, image.pixels().tobytes()


def inward(value: Any, method: str) -> Any:
    """Returns an argument of a cell as a value that a host takes.

    Raises:
        ToolError: it cannot be one; the text says what can.
    """
    try:
        return _inward(value, 0)
    except Unfit as error:
        raise ToolError(f"{method} cannot be given {error}. {ACCEPTED}") from None


def _inward(value: Any, level: int) -> Any:
    match value:
        case None | bool() | plugin.Image():
            return value
        case Image():
            return value._handle
        case Proxy() if value._maia_name == "system":
            return plugin.SystemRef()
        case np.generic():
            return _inward(value.item(), level)
        case str() | int() | float():
            return next(kind(value) for kind in (str, int, float) if isinstance(value, kind))
        case PILImage.Image():
            return plugin.Image.from_pil(value, source="program")
        case np.ndarray() if value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3 and value.size:
            return plugin.Image.from_pixels(value.copy(), source="program")
        case np.ndarray() if value.dtype.kind in "biuf":
            return _inward(value.tolist(), level)
        case np.ndarray():
            raise Unfit(f"an array of {value.size:,} values of type {value.dtype}")
        case list() | tuple() | dict():
            if level >= DEEPEST:
                raise Unfit(f"nested more than {DEEPEST} levels deep (or a container that holds itself)")
            if isinstance(value, dict):
                return {_key(key): _inward(item, level + 1) for key, item in value.items()}
            items = [_inward(item, level + 1) for item in value]
            return items if isinstance(value, list) else tuple(items)
    raise Unfit(f"a value of type {type(value).__name__}")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise Unfit(f"a dict with a key of type {type(key).__name__}; keys must be str")
    return key


def outward(value: Any) -> Any:
    """Returns a host's result as a cell gets it."""
    match value:
        case plugin.Image():
            return Image(value)
        case list():
            return [outward(item) for item in value]
        case tuple():
            return tuple(outward(item) for item in value)
        case dict():
            return {key: outward(item) for key, item in value.items()}
        case np.generic():
            return value.item()
    return value


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
