"""What a program finds in the child: the modules it may import, a clock and entropy that repeat."""

from __future__ import annotations

import contextlib
import datetime
import importlib
import logging
import os
import random
import sys
import time
import types
from collections.abc import Callable
from typing import Any

OFFERED = """
abc array base64 bisect calendar cmath collections colorsys contextlib copy csv dataclasses datetime decimal
difflib enum fractions functools gc hashlib heapq inspect io itertools json logging math numbers numpy operator
os pathlib PIL pprint random re statistics string struct sys textwrap time traceback types typing unicodedata
uuid warnings zlib
"""
"""Top-level modules that a program may import, as the error about another one lists them."""

INSIDE = """
collections.abc ctypes concurrent encodings.ascii encodings.latin_1 encodings.cp1252 encodings.utf_16
encodings.utf_32 encodings.hex_codec encodings.unicode_escape encodings.idna numpy.linalg numpy.fft numpy.random
numpy.ma numpy.polynomial PIL.Image PIL.ImageDraw PIL.ImageFilter PIL.ImageOps PIL.ImageEnhance PIL.ImageChops
PIL.ImageColor PIL.ImageStat PIL.ImageFont _socket
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
    """Ends importing: what is loaded stays importable, everything else is refused by name; forgets the machine."""

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
    sys.argv[:] = sys.orig_argv[:] = [""]
    sys.stdin = None
    for name in ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix", "executable", "_base_executable"):
        setattr(sys, name, "")
    sys._stdlib_dir = logging._srcfile = ""  # type: ignore[attr-defined]  # It replaces a function of the interpreter.
    vars(sys.modules["__main__"]).update(package="", paths=[])
    for module in [module for module in sys.modules.values() if isinstance(module, types.ModuleType)]:
        for name in ("__file__", "__cached__"):
            vars(module).pop(name, None)
        if hasattr(module, "__path__"):
            module.__path__ = []
        if spec := getattr(module, "__spec__", None):
            spec.origin = spec.cached = None
            spec.submodule_search_locations = spec.submodule_search_locations and []


class Clock:
    """A clock that ticks when it is looked at, so that a replay sees the same times; sleeping only moves it on."""

    def __init__(self) -> None:
        self._now = 0

    def begin(self, number: int) -> None:
        """Sets the clock to the start of an experiment: a day later for each."""
        self._now = EPOCH * 10**9 + number * DAY

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
        """Puts this clock in the place of the machine's, and repeatable bytes in the place of its entropy."""
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
            setattr(time, name, self.seconds)
            setattr(time, f"{name}_ns", self.ns)
        time.sleep = self.sleep  # type: ignore[assignment]  # It replaces a function of the interpreter.
        for name in ("gmtime", "localtime", "ctime"):
            setattr(time, name, self._at(getattr(time, name)))
        strftime = time.strftime
        time.strftime = lambda format, at=None: strftime(format, time.localtime() if at is None else at)
        self._patch_datetime()
        entropy = random.Random(0)
        # It replaces a function of the interpreter.
        os.urandom = random._urandom = entropy.randbytes  # type: ignore[attr-defined]

    def _at(self, function: Callable[[float], Any]) -> Callable[..., Any]:
        return lambda at=None: function(self.seconds() if at is None else at)

    def _patch_datetime(self) -> None:
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
        datetime.datetime = Datetime  # type: ignore[misc]  # It replaces a function of the interpreter.
