"""The surroundings of a program in the child: modules to import, a clock and entropy that repeat."""

from __future__ import annotations

import contextlib
import datetime
import gc
import importlib
import logging
import os
import random
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable
from typing import Any

OFFERED = """
abc array base64 bisect calendar cmath collections colorsys contextlib copy csv dataclasses datetime decimal difflib
enum fractions functools gc hashlib heapq inspect io itertools json logging math numbers numpy operator os pathlib PIL
pprint random re statistics string struct sys textwrap time traceback types typing unicodedata uuid warnings zlib
"""
"""Top-level modules that a program may import, as the error about another one lists them."""

INSIDE = """
collections.abc ctypes concurrent encodings.ascii encodings.latin_1 encodings.cp1252 encodings.utf_16 encodings.utf_32
encodings.hex_codec encodings.unicode_escape encodings.idna numpy.linalg numpy.fft numpy.random numpy.ma
numpy.polynomial PIL.Image PIL.ImageDraw PIL.ImageFilter PIL.ImageOps PIL.ImageEnhance PIL.ImageChops PIL.ImageColor
PIL.ImageStat PIL.ImageFont _socket
"""
"""Loaded too, because the offered ones need them late, or the self-probe does."""

EPOCH = 1_704_067_200
"""Where the clock starts: 2024-01-01 00:00 UTC."""
DAY = 86_400 * 10**9
TICK = 10**6
"""Nanoseconds that pass at every look at the clock."""


def preload() -> None:
    """Imports all that a program may import: after the lock-down no file can be read any more."""
    for name in (*OFFERED.split(), *INSIDE.split()):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    import numpy
    from PIL import Image

    Image.preinit()
    if not numpy.__version__.startswith("1."):
        numpy.set_printoptions(legacy="1.25")  # Numbers as `1.5`, not as `np.float64(1.5)`.


def close() -> None:
    """Ends importing: loaded modules stay importable, all others are refused by name; forgets the machine."""

    class Refuser:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            raise ModuleNotFoundError(
                f"No module named '{name}' in the experiment sandbox (available: {', '.join(OFFERED.split())})",
                name=name,
            )

    sys.meta_path[:] = [Refuser]
    sys.path.clear()
    sys.path_importer_cache.clear()
    for name in ("faulthandler", "resource", "sysconfig"):
        sys.modules.pop(name, None)
    del sys.addaudithook  # No later program could get rid of a hook.
    sys.argv[:] = sys.orig_argv[:] = [""]
    sys.stdin = None
    places = "prefix exec_prefix base_prefix base_exec_prefix executable _base_executable _stdlib_dir"
    vars(sys).update(dict.fromkeys(places.split(), ""))
    vars(logging).update(_srcfile="", _startTime=float(EPOCH))
    vars(sys.modules["__main__"]).update(package="", paths=[])
    for module in [module for module in sys.modules.values() if isinstance(module, types.ModuleType)]:
        for name in ("__file__", "__cached__"):
            vars(module).pop(name, None)
        if hasattr(module, "__path__"):
            module.__path__ = []
        if spec := getattr(module, "__spec__", None):
            spec.origin = spec.cached = spec.loader = None
            spec.submodule_search_locations = spec.submodule_search_locations and []
        module.__loader__ = None
    for function in gc.get_objects():
        if isinstance(function, types.FunctionType):
            function.__code__ = _without_folder(function.__code__)


def _without_folder(code: types.CodeType) -> types.CodeType:
    """Returns code that names its file without the folder."""
    constants = [_without_folder(part) if isinstance(part, types.CodeType) else part for part in code.co_consts]
    return code.replace(co_filename=os.path.basename(code.co_filename), co_consts=tuple(constants))


def _filled(function: Callable[..., Any], now: Callable[[], Any], required: int = 0) -> Callable[..., Any]:
    """Returns the function with the present time as its last argument, where a program gives no time or None."""
    return lambda *given: function(*given[:required], now() if given[required:] in ((), (None,)) else given[required])


class Clock:
    """A clock that ticks when it is looked at, so that a replay sees the same times; sleeping only moves it on."""

    def __init__(self) -> None:
        self._now = 0
        self._entropy = random.Random(0)

    def begin(self, number: int) -> None:
        """Sets the clock to the start of an experiment, a day later for each, and the entropy to its number."""
        self._now = EPOCH * 10**9 + number * DAY
        self._entropy.seed(number)

    def ns(self) -> int:
        """Returns nanoseconds since 1970, and lets one millisecond pass."""
        self._now += TICK
        return self._now

    def seconds(self) -> float:
        """Returns seconds since 1970, and lets one millisecond pass."""
        return self.ns() / 1e9

    def sleep(self, seconds: float) -> None:
        """Moves the clock on, and returns at once."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self._now += int(seconds * 1e9)

    def install(self) -> None:
        """Replaces the machine's clock and entropy, and all else that differs from process to process."""
        clocks = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
        repeating: dict[Callable[..., Any], Callable[..., Any]] = {
            **{getattr(time, name): self.seconds for name in clocks},
            **{getattr(time, f"{name}_ns"): self.ns for name in clocks},
            **{at: _filled(at, self.seconds) for at in (time.gmtime, time.localtime, time.ctime)},
            time.asctime: _filled(time.asctime, lambda: time.localtime()),
            time.strftime: _filled(time.strftime, lambda: time.localtime(), 1),
            time.clock_gettime: lambda clock: self.seconds(),
            time.clock_gettime_ns: lambda clock: self.ns(),
            time.pthread_getcpuclockid: lambda thread: time.CLOCK_THREAD_CPUTIME_ID,
            time.sleep: self.sleep,
            os.times: lambda: os.times_result((self.seconds(), 0.0, 0.0, 0.0, self.seconds())),
            os.urandom: self._entropy.randbytes,
            os.getrandom: lambda size, flags=0: self._entropy.randbytes(size),
            os.getpid: lambda: 1,
            threading.get_native_id: lambda: 1,
        }
        for module in [module for module in sys.modules.values() if isinstance(module, types.ModuleType)]:
            for name, value in list(vars(module).items()):  # `random`, for one, has its own name for `os.urandom`.
                if isinstance(value, types.BuiltinFunctionType) and value in repeating:
                    setattr(module, name, repeating[value])
        vars(uuid).update(_generate_time_safe=None, _UuidCreate=None, _node=1 << 40)
        vars(datetime).update(datetime=self._datetime())
        self._patch_random()

    def _patch_random(self) -> None:
        """Seeds a generator that gets no seed with this clock's entropy."""
        entropy, seed = self._entropy, random.Random.seed

        def repeatable(generator: random.Random, a: Any = None, version: int = 2) -> None:
            seed(generator, entropy.getrandbits(64) if a is None else a, version)

        type.__setattr__(random.Random, "seed", repeatable)
        vars(random).update(seed=vars(random)["_inst"].seed)

    def _datetime(self) -> type[datetime.datetime]:
        seconds = self.seconds

        class Datetime(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> Any:
                return cls.fromtimestamp(seconds(), tz)

            @classmethod
            def utcnow(cls) -> Any:
                return cls.now(datetime.UTC).replace(tzinfo=None)

        Datetime.__name__ = Datetime.__qualname__ = "datetime"
        Datetime.__module__ = "datetime"
        return Datetime
