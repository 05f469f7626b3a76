"""The child's side: runs programs against proxies of `system` and `tools`.

Runs in a bare interpreter: the standard library, numpy and PIL, nothing of MAIA but the modules beside this one.
Nothing here keeps a program from anything: that is the kernel's job (`lockdown`) and the host's (`bridge`). A program
that breaks the worker only breaks its own experiment; the host then replaces the worker.
"""

from __future__ import annotations

import builtins
import gc
import inspect
import linecache
import os
import random
import signal
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import Any

import numpy as np

from . import frames, lockdown, runtime, values
from .handles import Calls, Image, Proxy, System, Tools
from .runtime import Clock
from .snapshot import Snapshot
from .texts import FILE, Printed, TimeLimit, ToolError, explain, send_text

ENTRIES = ("run_experiment", "execute_command")
MODULES = "import collections, itertools, json, math, numpy, numpy as np, random, re, statistics, time"
TYPING = ("Any", "Callable", "Dict", "Iterable", "List", "Optional", "Sequence", "Set", "Tuple", "Union")


class Pipe:
    """The worker's end of the channel: blocking frames on a file descriptor, and the time limit's signal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.running = False
        """True while the program itself runs, not the worker."""
        self.late = False
        """True once the present program's time is over."""

    def on_time_limit(self, number: int, frame: Any) -> None:
        """Signal handler: ends the program."""
        if self.running:
            self.late = True
            raise TimeLimit("experiment exceeded its time limit")

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Delays the time limit until a frame under way is complete."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

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
            return self.hear()

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            got = os.readv(self._fd, [view])
            if not got:
                os._exit(0)  # The host is gone.
            view = view[got:]
        return data


class Worker:
    """Runs one program after another in one namespace.

    Args:
        pipe: The channel to the host.
        limits: `depth`, `output_chars`, `frame_mb`, `image_side` of the host's limits.
    """

    def __init__(self, pipe: Pipe, limits: dict[str, Any]) -> None:
        self._pipe = pipe
        self._most = limits["output_chars"]
        self.calls = Calls(pipe.ask, lambda: self._out.send(), limits)
        self.module = types.ModuleType("experiment")
        exec(f"{MODULES}\nfrom typing import {', '.join(TYPING)}", vars(self.module))
        vars(self.module).update(Image=Image, System=System, Tools=Tools, ToolError=ToolError)

    def run(self, start: dict[str, Any], program: str) -> None:
        """Runs one program and tells its value or error."""
        out = self._out = Printed(self._pipe.tell, self._most)
        seed = start["seed"]
        random.seed(seed)
        np.random.seed(seed % 2**32)
        value = error = ""
        self._pipe.late = False
        try:
            self._pipe.running = True
            with redirect_stdout(out), redirect_stderr(out):
                value = self._execute(program, f"{FILE}{start['number']}", start)
            self._pipe.running = False
        except BaseException as raised:
            self._pipe.running = False
            error = explain(raised, vars(self.module), start["methods"])
            traceback.clear_frames(raised.__traceback__)
        if self._pipe.late and not error:
            error = "TimeLimit: experiment exceeded its time limit"
        out.end()
        send_text(self._pipe.tell, "error", error)
        send_text(self._pipe.tell, "value", "" if error else value)

    def _execute(self, program: str, file: str, start: dict[str, Any]) -> str:
        linecache.cache[file] = (len(program), None, [f"{line}\n" for line in program.split("\n")], file)
        names = vars(self.module)
        # Variables of earlier programs stay; a builtin or an entry that one of them redefined does not.
        for name in (*ENTRIES, *(name for name in vars(builtins) if name[0] != "_")):
            names.pop(name, None)
        names["__builtins__"] = builtins
        system, tools = (self.calls.proxy(name, start) for name in ("system", "tools"))
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
        images, pixels = self.calls.shown(value)
        if images:
            self._pipe.tell({"op": "show", "images": images}, pixels)
        shown = "" if value is None else str(value) if isinstance(value, str) else repr(value)
        more = len(shown) - self._most
        return values.text(shown[: self._most] + (f" [{more:,} more characters]" if more > 0 else ""))


def prepare(fd: int, limits: dict[str, Any]) -> Callable[[], None]:
    """Locks this process down, and returns the function that runs programs until the host closes the channel."""
    import faulthandler  # No name of a module: `runtime.close` takes it from programs.

    runtime.preload()
    pipe = Pipe(fd)
    faulthandler.enable(all_threads=False)
    faulthandler.register(signal.SIGUSR2, all_threads=False)
    signal.signal(signal.SIGALRM, pipe.on_time_limit)
    measures = lockdown.apply(limits["memory_mb"])
    clock = runtime.Clock()
    clock.install()
    runtime.close()
    gc.freeze()  # Loaded modules stay: collecting after each program then looks at the program's objects alone.
    worker = Worker(pipe, limits)
    snapshot = Snapshot(pipe, clock, worker, worker.calls)
    sys.modules["experiment"] = worker.module
    pipe.tell({"op": "ready", "measures": measures, "possible": lockdown.probe()})
    return partial(_serve, pipe, clock, worker, snapshot)


def _serve(pipe: Pipe, clock: Clock, worker: Worker, snapshot: Snapshot) -> None:
    while True:
        start, program = pipe.hear()
        pipe.tell({"op": "started", "token": start["token"]})
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        clock.begin(start["number"])
        worker.run(start, program.decode())
        gc.collect()
        snapshot.restore()
        pipe.tell({"op": "done"})
