"""Chat templates of models: a template is a program from elsewhere, which Jinja's sandbox runs."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import struct
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from maia_core.plugin import BackboneError, one_line
from maia_vlm.packing import PackedMessage

MAX_SECONDS = 5.0
"""Processor time that a template may take; Jinja's sandbox bounds neither time nor nested loops."""

MAX_WAIT = 30.0
"""Seconds after which a template ends that got no processor."""

MAX_MB = 500
"""Memory that a template may need, in MB of 2^20 bytes."""

MAX_BYTES = 16 << 20
"""Longest prompt, as JSON: far above the context length of any model."""

_FORKING = threading.Lock()
"""One fork at a time: the child of another thread would keep the pipe open, and `catch_warnings` is for one thread."""


def bounded(render: Callable[[], Any]) -> Any:
    """Returns the JSON value that a template makes; it runs in a process of its own, with limits on time and memory.

    A limit inside of this process would not stop one long operation, such as `7 ** 100000000`, nor one large text.

    Args:
        render: Runs the template. Its value and its changes stay in the other process, but for the JSON value.

    Raises:
        TimeoutError: the template takes longer than `MAX_SECONDS`.
        BackboneError: it raises an error, which the text names, or needs more than `MAX_MB`.
    """
    with _FORKING:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # The other process runs the template alone: no thread of this one, and no lock that one of them may hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            _render(render, writing)
        os.close(writing)
    try:
        data = _received(reading, time.monotonic() + MAX_WAIT)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)  # A process that has ended keeps its own status.
        _, status = os.waitpid(child, 0)
    if data is None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        raise TimeoutError(f"it takes longer than {MAX_SECONDS:g} s")
    if data is None:
        raise BackboneError(f"it ends its process; it may need more than {MAX_MB} MB")
    kind, value = json.loads(data)
    if kind == "error":
        raise BackboneError(value)
    return value


def _render(render: Callable[[], Any], pipe: int) -> NoReturn:
    """Runs in the other process: writes length and JSON of the value or the error, and ends without any clean-up."""
    with contextlib.suppress(BaseException):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
        with contextlib.suppress(FileNotFoundError):  # macOS has neither /proc nor this limit.
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            limit = used + (MAX_MB << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            data = json.dumps(["value", render()]).encode()
        except BaseException as error:
            data = json.dumps(["error", one_line(error)[:1000]]).encode()
        data = struct.pack("<Q", len(data)) + data
        while data:
            data = data[os.write(pipe, data) :]
    os._exit(0)


def _received(pipe: int, deadline: float) -> bytes | None:
    """Returns the JSON that the other process writes; None where it ends before."""
    data = bytearray()
    while len(data) < 8 or len(data) < 8 + struct.unpack_from("<Q", data)[0]:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            raise TimeoutError(f"it has not ended after {MAX_WAIT:g} s")
        part = os.read(pipe, 1 << 20)
        if not part:
            return None
        data += part
        if len(data) > MAX_BYTES:
            raise BackboneError(f"it makes a prompt of more than {MAX_BYTES >> 20} MB")
    return bytes(data[8:])


def without_system(messages: Sequence[PackedMessage]) -> list[PackedMessage]:
    """Returns a conversation for a model without a system role: the first user message begins with the system text."""
    system = tuple(part for message in messages if message.role == "system" for part in message.parts)
    rest = [message for message in messages if message.role != "system"]
    if not system:
        return rest
    if rest and rest[0].role == "user":
        return [PackedMessage("user", system + rest[0].parts), *rest[1:]]
    return [PackedMessage("user", system), *rest]
