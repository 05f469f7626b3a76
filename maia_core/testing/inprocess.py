"""The sandbox `unsafe-inprocess`: runs programs in this process, without isolation. For debugging and for tests."""

from __future__ import annotations

import importlib
import io
import linecache
import random
import sys
import time
import traceback
import typing
from collections.abc import Callable, Iterable, Iterator, Set, ValuesView
from contextlib import redirect_stderr, redirect_stdout
from inspect import signature
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image as PILImage

from maia_core.plugin import (
    Execution,
    Host,
    Image,
    ImagePart,
    MendableError,
    PluginConfig,
    RunContext,
    SandboxError,
    SystemRef,
    did_you_mean,
)

WARNING = (
    "WARNING: unsafe-inprocess runs the backbone's programs in this process, with your files, keys and network, and "
    "with no limit on time or memory. Use it only for programs that you have read."
)
ENTRIES = ("run_experiment", "execute_command")
FILE = "experiment "
"""File name of a program, before its number."""
MODULES = "collections itertools json math numpy random re statistics time"
TYPING = ("Any", "Callable", "Dict", "Iterable", "List", "Optional", "Sequence", "Set", "Tuple", "Union")


class ToolError(Exception):
    """The error that a program sees when a tool or the system refuses its arguments."""


ToolError.__module__ = "builtins"  # Tracebacks then name it without this module.


class ProgramImage:
    """An image as a program sees it: title, size, the image without its mask, the mask, and pixels as PIL or numpy."""

    def __init__(self, image: Image) -> None:
        self.__dict__.update(
            _image=image,
            id=image.id,
            title=image.title,
            shows=image.shows,
            width=image.width,
            height=image.height,
            size=(image.width, image.height),
        )

    @property
    def clean(self) -> ProgramImage:
        """The image without its mask, or this image where it has none."""
        return ProgramImage(self._image.clean or self._image)

    @property
    def mask(self) -> Any:
        """The mask, bool of shape (height, width), or None for an image without one."""
        mask = self._image.mask()
        return None if mask is None else mask.copy()

    def to_pil(self) -> PILImage.Image:
        """Returns the pixels as a PIL image of mode RGB."""
        pil: PILImage.Image = self._image.pil()
        return pil

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._image.pixels().astype(dtype or np.uint8)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"an image has no attribute {name!r}. Available: clean, height, id, mask, shows, size, title, to_pil(), "
            "width; for pixels use to_pil() or numpy.asarray(image)"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an image cannot be changed; make a new one with PIL or numpy")

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, ProgramImage) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, ProgramImage):
            return NotImplemented
        return bool((self.title, self.id) < (other.title, other.id))

    def __repr__(self) -> str:
        return f"<Image {self.title!r} {self.width}x{self.height}>"


class Proxy:
    """`system` or `tools` as a program sees it: the methods of a host that begin with this name."""

    def __init__(self, name: str, calls: Calls) -> None:
        methods = sorted(calls.host.methods | calls.host.properties)
        known = [method.partition(".")[2] for method in methods if method.startswith(f"{name}.")]
        offered = [short for short in known if f"{name}.{short}" not in getattr(calls.host, "hidden", ())]
        self.__dict__.update(_name=name, _calls=calls, _known=known, _offered=offered)

    def __getattr__(self, attribute: str) -> Any:
        if attribute not in self._known:
            raise AttributeError(
                f"'{self._name}' has no attribute '{attribute}'.{did_you_mean(attribute, self._offered)} "
                f"Available: {', '.join(self._offered)}"
            )
        method = f"{self._name}.{attribute}"
        call: Callable[..., Any] = lambda *args, **kwargs: self._calls(method, args, kwargs)  # noqa: E731
        return call() if method in self._calls.host.properties else call

    def __setattr__(self, attribute: str, value: Any) -> None:
        raise AttributeError(f"'{self._name}.{attribute}' cannot be replaced")

    def __dir__(self) -> list[str]:
        return list(self._offered)

    def __repr__(self) -> str:
        return f"<{self._name}: {', '.join(self._offered)}>"


class Calls:
    """Passes a program's calls to the host, and translates values in both directions.

    Attributes:
        count: Number of calls so far.
        failure: The first error of the host that a program cannot mend; None without one.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.count = 0
        self.failure: BaseException | None = None

    def __call__(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Returns the host's result as the program sees it."""
        self.count += 1
        arguments, named = self._to_host(method, list(args)), self._to_host(method, kwargs)
        try:
            return self._to_program(method, self.host.call(method, arguments, named))
        except MendableError as error:
            raise ToolError(str(error)) from None
        except BaseException as error:
            self.failure = self.failure or error
            raise

    def _to_host(self, method: str, value: Any) -> Any:
        if isinstance(value, ProgramImage):
            return value._image
        if isinstance(value, Proxy) and value._name == "system":
            return SystemRef()
        if isinstance(value, PILImage.Image):
            return Image.from_pil(value, source="program")
        if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3:
            return Image.from_pixels(value.copy(), source="program")
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            return value.tolist()
        found = _converted(value, lambda item: self._to_host(method, item))
        if found is NotImplemented:
            raise ToolError(
                f"{method} cannot be given a value of type {type(value).__name__}. Arguments are None, bool, int, "
                "float, str, list, tuple, dict, images, and arrays of numbers"
            )
        return found

    def _to_program(self, method: str, value: Any) -> Any:
        if isinstance(value, Image):
            return ProgramImage(value)
        found = _converted(value, lambda item: self._to_program(method, item))
        if found is NotImplemented:
            raise SandboxError(f"{method} returned a {type(value).__name__}, which cannot reach a program")
        return found


def _converted(value: Any, convert: Callable[[Any], Any]) -> Any:
    """Returns a copy of a plain value with its items converted, NotImplemented for another kind of value."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): convert(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range | Iterator | Set | ValuesView):
        items = [convert(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value if value is None or isinstance(value, bool | int | float | str) else NotImplemented


class InProcessSandbox:
    """Runs programs in this process, with the proxies that they see in a real sandbox and without any limit."""

    def __init__(self, config: PluginConfig | None, context: RunContext) -> None:
        print(WARNING, file=sys.stderr)
        self._seed = context.seed
        self._number = 0
        self._module: ModuleType | None = ModuleType("experiment")
        names = {name: getattr(typing, name) for name in TYPING}
        names |= {name: importlib.import_module(name) for name in MODULES.split()}
        given = {"np": np, "Image": ProgramImage, "System": Proxy, "Tools": Proxy, "ToolError": ToolError}
        vars(self._module).update(names | given)
        sys.modules["experiment"] = self._module  # Dataclasses of a program look up their module.

    def run(self, program: str, host: Host) -> Execution:
        """Runs one program; see `maia_core.plugin.Sandbox`."""
        if self._module is None:
            raise SandboxError("cannot run the program: the sandbox is closed; make a new one")
        self._number = host.number or self._number + 1
        seed = self._seed + self._number
        random.seed(seed)
        np.random.seed(seed % 2**32)
        calls, printed, error = Calls(host), io.StringIO(), ""
        value: Any = None
        started = time.monotonic()
        try:
            with redirect_stdout(printed), redirect_stderr(printed):
                value = self._execute(program, calls, vars(self._module))
        except KeyboardInterrupt:
            raise
        except BaseException as raised:
            error = _explain(raised, host.methods)
        if calls.failure is not None:
            raise calls.failure
        return Execution(
            stdout=printed.getvalue(),
            displays=tuple(_images_in(value)),
            value="" if value is None else value if isinstance(value, str) else repr(value),
            error=error,
            seconds=time.monotonic() - started,
            host_calls=calls.count,
        )

    def describe(self) -> list[tuple[str, str]]:
        """Returns pairs of measure and state for `maia check sandbox`."""
        return [("everything", "nothing is confined")]

    def close(self) -> None:
        """Forgets the programs' names. Closing twice is allowed."""
        self._module = None

    def _execute(self, program: str, calls: Calls, names: dict[str, Any]) -> Any:
        file = f"{FILE}{self._number}"
        linecache.cache[file] = (len(program), None, [f"{line}\n" for line in program.split("\n")], file)
        for entry in ENTRIES:
            names.pop(entry, None)
        system, tools = Proxy("system", calls), Proxy("tools", calls)
        for name, proxy in (("system", system), ("tools", tools)):
            if isinstance(names.get(name, proxy), Proxy):  # Unless a program has given the name another meaning.
                names[name] = proxy
        exec(compile(program, file, "exec", dont_inherit=True), names)
        entry = next((entry for entry in ENTRIES if callable(names.get(entry))), "")
        if not entry:
            raise NameError("the program defines no function run_experiment(system, tools)")
        function = names[entry]
        try:
            signature(function).bind(system, tools)
        except TypeError:
            given = f"{entry}{signature(function)}"
            raise TypeError(f"{entry} is called with (system, tools), but is defined as {given}") from None
        return function(system, tools)


def _images_in(value: Any) -> Iterator[ImagePart]:
    """Yields the images in a returned value, in order."""
    if isinstance(value, ProgramImage | PILImage.Image):
        image = value._image if isinstance(value, ProgramImage) else Image.from_pil(value, source="program")
        yield ImagePart(image=image)
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _images_in(item)


def _explain(error: BaseException, methods: Iterable[str]) -> str:
    """Returns a traceback of the program's own lines."""
    report = traceback.TracebackException.from_exception(error, compact=True)
    chain: list[Any] = [report]
    for link in chain:
        link.stack[:] = [frame for frame in link.stack if frame.filename.startswith(FILE)]
        others = (link.__cause__, link.__context__, *(link.exceptions or ()))
        chain += [other for other in others if other is not None]
    text = "".join(report.format()).rstrip("\n")
    owners = {method.partition(".")[2]: method for method in methods} | {"self": "tools"}
    if isinstance(error, NameError) and error.name in owners:
        text = f"{text.partition('. Did you mean')[0]}. Did you mean '{owners[error.name]}'?"
    return text
