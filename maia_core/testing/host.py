"""Hosts for sandboxes under test: what a program reaches as `system` and `tools`, without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from maia_core.plugin import Image, RunError, ToolError

INFO: dict[str, Any] = {"model": "suite", "unit": "1"}
RESULTS: list[dict[str, Any]] = [{"label": "a", "activations": (1.0, 2.5)}]
"""The values of `system.info` and `tools.results`, before and after every program."""


class FakeHost:
    """Offers the given functions to a program, and records every call.

    Attributes:
        calls: Method, arguments and named arguments of each call so far.
    """

    def __init__(self, functions: Mapping[str, Any], properties: Sequence[str] = ()) -> None:
        self._functions = dict(functions)
        self.methods = frozenset(functions)
        self.properties = frozenset(properties)
        self.number = 0
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Returns the result of the function that `method` names."""
        self.calls.append((method, tuple(args), dict(kwargs)))
        return self._functions[method](*args, **kwargs)


class SuiteHost:
    """The host of `SandboxSuite`: a unit that measures brightness, and tools that echo, draw, refuse and fail.

    Attributes:
        asked: Names of the methods that the program called or read, in order.
        images: Images that the program passed to `tools.echo`.
    """

    methods = frozenset(
        ["system.neuron", "system.info", "tools.results"]
        + [f"tools.{name}" for name in ("echo", "image", "masked", "fail", "broken", "ended")]
    )
    properties = frozenset(["system.info", "tools.results"])
    hidden: frozenset[str] = frozenset()
    number = 0

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.images: list[Image] = []

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """See `maia_core.plugin.Host`."""
        if method not in self.methods:
            raise AssertionError("the sandbox passed on a call of something that is not offered")
        self.asked.append(method)
        function = getattr(self, f"_{method.partition('.')[2]}")
        if method in self.properties:
            return function
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            raise ToolError(str(error)) from None

    _info: ClassVar[dict[str, Any]] = dict(INFO)
    _results: ClassVar[list[Any]] = [dict(result) for result in RESULTS]

    def _neuron(self, images: list[Image]) -> tuple[list[float], list[Image]]:
        return [float(image.pixels().mean()) for image in images], images

    def _echo(self, *values: Any, **named: Any) -> Any:
        self.images += [value for value in values if isinstance(value, Image)]
        return values[0] if len(values) == 1 and not named else [list(values), named]

    def _image(self, brightness: int = 0) -> Image:
        return Image.from_pixels(np.full((24, 32, 3), brightness % 256, np.uint8), "a tiger on grass")

    def _masked(self) -> Image:
        mask = np.zeros((24, 32), np.bool_)
        mask[:12] = True
        return self._image(200).masked(mask).showing("a cat on grass")

    def _fail(self) -> None:
        raise ToolError("give a list of prompts")

    def _broken(self) -> None:
        raise ZeroDivisionError("a bug of the host")

    def _ended(self) -> None:
        raise RunError("the generator is gone")
