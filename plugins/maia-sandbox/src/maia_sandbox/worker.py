"""The child's side: runs programs against proxies of `system` and `tools`.

Runs in a bare interpreter: the standard library, numpy and PIL, nothing of MAIA but `frames`, `values` and `lockdown`.
Nothing here keeps a program from anything: that is the kernel's job (`lockdown`) and the host's (`bridge`). A program
that breaks the worker only breaks its own experiment; the host then replaces the worker.
"""

from __future__ import annotations

import builtins
import difflib
import faulthandler
import gc
import importlib
import inspect
import io
import linecache
import os
import random
import signal
import sys
import traceback
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from operator import is_
from typing import Any

import numpy as np
from PIL import Image as PILImage

from . import frames, values

ENTRIES = ("run_experiment", "execute_command")
FILE = "experiment "
"""File name of a program, before its number."""
DIRECT_WRITES = 500
"""So many lines go to the host at once, so that they survive a kill; later ones are sent in larger pieces."""
CHUNK = 1 << 16
ERROR_CHARS = 20_000


def _public(cls: type) -> type:
    """Makes tracebacks name an exception without this module."""
    cls.__module__ = "builtins"
    return cls


@_public
class ToolError(Exception):
    """A tool or the system refuses its arguments."""


@_public
class TimeLimit(BaseException):
    """The experiment took too long. Like all limits no `Exception`, so that programs do not swallow it by accident."""


@_public
class OutputLimitError(BaseException):
    """The experiment printed too much."""


@_public
class CallLimitError(BaseException):
    """The experiment called the host too often."""


ERRORS: dict[str, type[BaseException]] = {"ToolError": ToolError, "CallLimitError": CallLimitError}


class Image:
    """An image: id, title, width, height, size; its pixels are fetched by `to_pil()` or `numpy.asarray(image)`."""

    __slots__ = ("__weakref__", "_ask", "_handle", "height", "id", "title", "width")

    def __init__(self, ask: Callable[..., Any], handle: int, id: str, title: str, width: int, height: int) -> None:
        for name, value in zip(
            ("_ask", "_handle", "id", "title", "width", "height"), (ask, handle, id, title, width, height), strict=True
        ):
            object.__setattr__(self, name, value)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as in PIL."""
        return self.width, self.height

    @property
    def clean(self) -> Image:
        """The image without its mask, or this image where it has none."""
        image: Image = self._ask({"op": "clean", "image": self._handle})
        return image

    def to_pil(self) -> PILImage.Image:
        """Returns the pixels as a PIL image of mode RGB."""
        return PILImage.fromarray(self.__array__())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        _, blob = self._ask({"op": "pixels", "image": self._handle})
        pixels = np.frombuffer(blob, np.uint8).reshape(self.height, self.width, 3)
        return pixels.astype(dtype or np.uint8)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"an image has no attribute {name!r}. Available: clean, height, id, size, title, to_pil(), width; "
            "for pixels use to_pil() or numpy.asarray(image)"
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
    """What every proxy of the system is, so that a program can pass it to a tool."""

    __slots__ = ()


class Tools(Proxy):
    """What every proxy of the tools is."""

    __slots__ = ()


Ask = Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]
"""Sends one frame and returns the reply to it."""
Tell = Callable[[dict[str, Any], bytes], None]
"""Sends one frame that has no reply."""


class Worker:
    """Runs one program after another in one namespace.

    Args:
        ask: Sends a frame and waits for its reply.
        tell: Sends a frame.
        limits: `depth`, `output_chars`, `frame_mb`, `image_side` of the host's limits.
    """

    def __init__(self, ask: Ask, tell: Tell, limits: dict[str, Any]) -> None:
        self._send_ask = ask
        self._tell = tell
        self._limits = limits
        self._live: weakref.WeakValueDictionary[int, Image] = weakref.WeakValueDictionary()
        self._dropped: set[int] = set()
        self._asked = 0
        self.passing: tuple[type[BaseException], ...] = ()
        """Exceptions that the worker passes on instead of reporting them as the program's error."""
        self.late = False
        """True once the present program's time is over."""
        self.running = False
        """True while the program itself runs, not the worker."""
        self.module = types.ModuleType("experiment")
        names = ("Any", "Callable", "Dict", "Iterable", "List", "Optional", "Sequence", "Set", "Tuple", "Union")
        given = {name: getattr(typing, name) for name in names} | {"np": np}
        given |= {name: importlib.import_module(name) for name in ("math", "numpy", "random", "statistics")}
        vars(self.module).update(given, Image=Image, System=System, Tools=Tools, ToolError=ToolError)

    def run(self, start: dict[str, Any], program: str) -> int:
        """Runs one program, tells its value or error, and returns how many printed characters were cut."""
        file = f"{FILE}{start['number']}"
        out = self._out = Printed(self._tell, self._limits["output_chars"])
        self.late = False
        seed = start["seed"]
        random.seed(seed)
        np.random.seed(seed % 2**32)
        saved = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = out
        value = error = ""
        try:
            self.running = True
            value = self._execute(program, file, start)
            self.running = False
        except self.passing:
            raise
        except BaseException as raised:
            self.running = False
            error = explain(raised, vars(self.module), start["methods"])
            traceback.clear_frames(raised.__traceback__)
        finally:
            sys.stdout, sys.stderr = saved
        if self.late and not error:
            error = "TimeLimit: experiment exceeded its time limit"
        out.send()
        self._long_text("error", error)
        self._long_text("value", "" if error else value)
        return out.cut

    def _execute(self, program: str, file: str, start: dict[str, Any]) -> str:
        linecache.cache[file] = (len(program), None, [f"{line}\n" for line in program.split("\n")], file)
        names = vars(self.module)
        for entry in ENTRIES:
            names.pop(entry, None)
        system, tools = self._proxy("system", start), self._proxy("tools", start)
        for name, proxy in (("system", system), ("tools", tools)):
            if isinstance(names.get(name, proxy), Proxy):  # Unless a program has given the name another meaning.
                names[name] = proxy
        exec(compile(program, file, "exec", dont_inherit=True), names)
        found = [entry for entry in ENTRIES if callable(names.get(entry))]
        if not found:
            raise NameError("the program defines no function run_experiment(system, tools)")
        function = names[found[0]]
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"{found[0]} must be an ordinary function: no async, no yield")
        try:
            bound = inspect.signature(function).bind(system, tools)
        except TypeError:
            takes = f"{found[0]}{inspect.signature(function)}"
            raise TypeError(f"{found[0]} is called with (system, tools), but is defined as {takes}") from None
        value = function(*bound.args, **bound.kwargs)
        self._show(value)
        most = self._limits["output_chars"]
        shown = "" if value is None else str(value) if isinstance(value, str) else repr(value)
        return values.text(shown[:most] + (f" [{len(shown) - most:,} more characters]" if len(shown) > most else ""))

    def _show(self, value: Any) -> None:
        """Sends the images in a returned value, so that the backbone sees them."""
        pixels: list[bytes] = []
        encode = values.Encoder(lambda image, level: self._encode_other(image, level, encode, pixels), 0)
        shown = []
        for image in islice(images_in(value, set()), values.MAX_SHOWN):
            with suppress(values.Unfit):  # An image that is too large to show is only named.
                shown.append(encode(image))
        if shown:
            self._tell({"op": "show", "images": shown}, b"".join(pixels))

    def _long_text(self, to: str, text: str) -> None:
        for start in range(0, len(text), CHUNK):
            self._tell({"op": "text", "to": to}, text[start : start + CHUNK].encode("utf-8", "replace"))

    # What a program holds of the host.

    def _proxy(self, name: str, start: dict[str, Any]) -> Any:
        """Makes `system` or `tools` of what the host offers; another one each time, so that no change to it lasts."""
        offered = {method.partition(".")[2]: method for method in start["methods"] if method.startswith(f"{name}.")}
        shown = sorted(short for short, method in offered.items() if method not in start["hidden"])
        listed = ", ".join(shown)

        def missing(self: Any, attribute: str) -> Any:
            raise AttributeError(
                f"'{name}' has no attribute '{attribute}'.{near(attribute, shown)} Available: {listed}"
            )

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
            call = self._caller(method, short)
            members[short] = _read(call) if method in start["properties"] else staticmethod(call)
        return type(name, (System if name == "system" else Tools,), members)()

    def _caller(self, method: str, short: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            pixels: list[bytes] = []

            def other(value: Any, level: int) -> Any:
                return self._encode_other(value, level, encode, pixels)

            encode = values.Encoder(other, self._limits["depth"])
            request: dict[str, Any]
            try:
                request = {"op": "call", "method": method, "args": [encode(value) for value in args]}
                request["kwargs"] = {values.text(key): encode(value) for key, value in kwargs.items()}
                return self.ask(request, b"".join(pixels))
            except values.Unfit as error:
                raise ToolError(
                    f"{method} cannot be given {error}. Arguments are None, bool, int, float, str, list, tuple, dict, "
                    "images, and arrays of numbers"
                ) from None

        call.__name__, call.__qualname__ = short, method
        return call

    def _encode_other(self, value: Any, level: int, encode: values.Encoder, pixels: list[bytes]) -> Any:
        if isinstance(value, Image):
            return {"i": value._handle}
        if isinstance(value, System):
            return {"s": None}
        if isinstance(value, np.generic):
            return encode(value.item(), level)
        if isinstance(value, np.ndarray):
            if not (value.dtype == np.uint8 and value.ndim == 3 and value.shape[2] == 3):
                if value.dtype.kind not in "biuf" or value.size > values.MOST_VALUES:
                    raise values.Unfit(f"an array of {value.size:,} values of type {value.dtype}")
                return encode(value.tolist(), level)
            height, width = value.shape[:2]
        elif isinstance(value, PILImage.Image):
            width, height = value.size
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
        self._asked += 1
        request["n"] = self._asked
        if self._dropped:
            request["drop"], self._dropped = sorted(self._dropped), set()
        self._out.send()
        reply, data = self._send_ask(request, blob)
        if "error" in reply:
            kind, text = reply["error"]
            raise ERRORS[kind](text)
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


def _read(call: Callable[[], Any]) -> property:
    return property(lambda self: call())


class Printed(io.TextIOBase):
    """Standard output: goes to the host line by line, in larger pieces when there is much of it."""

    def __init__(self, tell: Tell, most: int) -> None:
        self._tell = tell
        self._left = most
        self._most = most
        self._direct = DIRECT_WRITES
        self._waiting = ""
        self.cut = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        fits = text[: self._left]
        self._left -= len(fits)
        self._waiting += fits
        if len(self._waiting) > 4096 or (self._direct > 0 and "\n" in fits):
            self.send()
        if len(fits) < len(text):
            self.cut += len(text) - len(fits)
            raise OutputLimitError(f"more than {self._most:,} characters printed in one experiment")
        return len(text)

    def send(self) -> None:
        """Sends what waits."""
        waiting, self._waiting = self._waiting, ""
        self._direct -= 1
        for start in range(0, len(waiting), CHUNK):
            self._tell({"op": "text", "to": "stdout"}, values.text(waiting[start : start + CHUNK]).encode())


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


def near(name: str, known: Any) -> str:
    """Returns " Did you mean 'a'?" for the nearest of `known`, or an empty string."""
    found = difflib.get_close_matches(name, [k for k in known if isinstance(k, str)], 1, 0.6)
    return f" Did you mean '{found[0]}'?" if found else ""


def meant(name: str, methods: Iterable[str]) -> str:
    """Returns what a name that a program uses without `tools.` or `system.` means, or an empty string."""
    owners = {method.partition(".")[2]: method for method in methods} | {"self": "tools"}
    return f". Did you mean '{owners[name]}'?" if name in owners else ""


def images_in(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yields each image in a value once, in order; `seen` holds the ids of what was searched already."""
    if not isinstance(value, Image | PILImage.Image | dict | list | tuple) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from images_in(item, seen)
    else:
        yield value


def explain(error: BaseException, names: dict[str, Any], methods: Sequence[str]) -> str:
    """Returns a traceback of the program's own lines; never raises, whatever the error's class does."""
    try:
        report = traceback.TracebackException.from_exception(error, compact=True)
        _own_lines(report)
        text = "".join(report.format()).rstrip("\n")
        if isinstance(error, NameError) and (better := meant(error.name, methods)):
            text = text.partition(". Did you mean")[0] + better
        elif "Did you mean" not in text and isinstance(error, NameError) and isinstance(error.name, str):
            text += f".{near(error.name, [*names, *vars(builtins)])}".rstrip(".")
        elif "Did you mean" not in text and isinstance(error, AttributeError) and isinstance(error.name, str):
            text += f".{near(error.name, dir(error.obj))}".rstrip(".")
    except BaseException:
        text = f"{type.__getattribute__(type(error), '__name__')}: (its text cannot be shown)"
    if len(text) > ERROR_CHARS:
        text = f"{text[: ERROR_CHARS // 2]}\n[...]\n{text[-ERROR_CHARS // 2 :]}"
    return values.text(text)


def _own_lines(report: traceback.TracebackException) -> None:
    """Strips every frame that is not of a program, in the errors that led to this one too."""
    report.stack[:] = [frame for frame in report.stack if frame.filename.startswith(FILE)]
    for other in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if other is not None:
            _own_lines(other)


MUTABLE, IMMUTABLE = 1 << 9, 1 << 8
"""Flags of a type: made by Python code; closed to changes all the same."""


def _classes() -> list[type]:
    """Returns all classes that a program could patch."""
    found: dict[type, None] = {}
    waiting: list[type] = [object]
    while waiting:
        cls = waiting.pop()
        if cls not in found:
            found[cls] = None
            waiting += type.__subclasses__(cls)
    return [cls for cls in found if cls.__flags__ & MUTABLE and not cls.__flags__ & IMMUTABLE]


class Snapshot:
    """The contents of all loaded modules and classes, so that what a program patched is put back for the next one."""

    def __init__(self) -> None:
        first = [builtins, sys.modules[__name__]]
        others = [
            module for module in sys.modules.values() if module not in first and isinstance(module, types.ModuleType)
        ]
        self._saved = [(vars(module), dict(vars(module))) for module in (*first, *others)]
        # A class is read through its mapping proxy; what changed must be put back attribute by attribute.
        self._classes = [(cls, vars(cls), dict(vars(cls))) for cls in _classes()]
        self._modules = dict(sys.modules)
        self._limit = sys.getrecursionlimit()

    def restore(self) -> None:
        """Puts every module back that was changed; the builtins first, since all else needs them."""
        sys.settrace(None)
        sys.setprofile(None)
        live, saved = self._saved[0]
        live.update(saved)
        for live, saved in self._saved:
            if len(live) != len(saved) or not all(map(is_, live.values(), saved.values())):
                for name in set(live) - set(saved):
                    del live[name]
                live.update(saved)
        for cls, now, before in self._classes:
            if len(now) != len(before) or not all(map(is_, now.values(), before.values())):
                for name in set(now) - set(before):
                    type.__delattr__(cls, name)
                for name, value in before.items():
                    if now.get(name) is not value:
                        type.__setattr__(cls, name, value)
        sys.modules.update(self._modules)
        sys.setrecursionlimit(self._limit)
        gc.enable()


class Pipe:
    """The worker's end of the channel: blocking frames on a file descriptor, and the time limit's signal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._busy = False
        self.worker: Worker | None = None
        self._due = False

    def on_time_limit(self, number: int, frame: Any) -> None:
        """Signal handler: ends the program now, or once a frame under way is complete."""
        if self.worker is None or not self.worker.running:
            return
        self.worker.late = True
        if self._busy:
            self._due = True
        else:
            raise TimeLimit("experiment exceeded its time limit")

    @contextmanager
    def _whole(self) -> Iterator[None]:
        outer, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = outer
        if self._due and not outer:
            self._due = False
            if self.worker and self.worker.running:
                raise TimeLimit("experiment exceeded its time limit")

    def tell(self, header: dict[str, Any], blob: bytes = b"") -> None:
        """Sends one frame."""
        with self._whole():
            left = memoryview(frames.pack(header, blob))
            while left:
                left = left[os.write(self._fd, left) :]

    def hear(self) -> tuple[dict[str, Any], bytes]:
        """Waits for one frame."""
        with self._whole():
            return frames.read(self._exactly)

    def ask(self, header: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        """Sends a frame and returns the reply to it."""
        with self._whole():
            self.tell(header, blob)
            while True:
                reply, data = self.hear()
                if reply["n"] == header["n"]:
                    return reply, data

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            got = os.readv(self._fd, [view])
            if not got:
                os._exit(0)  # The host is gone.
            view = view[got:]
        return data


def main(fd: int, limits: dict[str, Any]) -> None:
    """Runs programs until the host closes the channel."""
    from . import lockdown, runtime

    runtime.preload()
    clock = runtime.Clock()
    clock.install()
    pipe = Pipe(fd)
    faulthandler.enable(all_threads=False)
    faulthandler.register(signal.SIGUSR2, all_threads=False)
    signal.signal(signal.SIGALRM, pipe.on_time_limit)
    measures = lockdown.apply(limits["memory_mb"])
    runtime.close()
    gc.freeze()  # What is loaded stays: collecting after each program then looks at the program's objects alone.
    snapshot = Snapshot()
    worker = pipe.worker = Worker(pipe.ask, pipe.tell, limits)
    sys.modules["experiment"] = worker.module
    pipe.tell({"op": "ready", "measures": measures, "probe": lockdown.probe()})
    while True:
        start, program = pipe.hear()
        pipe.tell({"op": "started", "token": start["token"]})
        clock.begin(start["number"])
        signal.signal(signal.SIGALRM, pipe.on_time_limit)
        cut = worker.run(start, program.decode())
        gc.collect()
        snapshot.restore()
        pipe.tell({"op": "done", "cut": cut})
