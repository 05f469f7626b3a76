"""One program and its host: answers what the interpreter asks, and trusts none of it."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from maia_core.protocols import Host
from maia_core.sandbox import frames, values
from maia_core.sandbox.bridge import Bridge
from maia_core.sandbox.frames import Violation
from maia_core.sandbox.stage import Clock
from maia_core.sandbox.worker import Printed, near
from maia_sandbox_monty.crossing import ATTRIBUTES, UNSEEN, Crossing, Image, Proxy
from maia_sandbox_monty.prelude import AVAILABLE, END, OFFER

if TYPE_CHECKING:
    from pydantic_monty import FunctionSnapshot, MontySession, NameLookupSnapshot, SyncSnapshot

GRACE_SECONDS = 1.0
"""From the interpreter's own time limit to the end of its process."""
MOST_RANDOM = 1 << 16
"""Most bytes of `os.urandom` at once."""
PIXELS = frozenset(["to_pil", "__array__", "convert", "resize", "crop", "save", "getpixel", "numpy", "pixels"])


class Overdue(Exception):
    """The program took too long, the host's own calls not counted."""


class Dialogue:
    """Drives one program to its end.

    Attributes:
        value: The text of what the program returned; None until it did.
        host_seconds: How long the host's calls took.
        wordings: Messages of exceptions that the program may have seen, to better last lines of their tracebacks.
        failure: What the host's call raised, if the program cannot mend it.
        position: Where the program last asked something: name of the source, place in bytes.
    """

    def __init__(self, bridge: Bridge, crossing: Crossing, host: Host, number: int, seed: int) -> None:
        self._bridge = bridge
        self._crossing = crossing
        self._offered = host.methods | host.properties
        self._properties = host.properties
        self._clock = Clock()
        self._clock.begin(number)
        self._entropy = random.Random(seed)
        self._snapshot: FunctionSnapshot | NameLookupSnapshot | None = None
        self._shims: dict[str, Any] = {}
        self.printed = Printed(self._tell, bridge.limits.output_chars)
        self.value: str | None = None
        self.host_seconds = 0.0
        self.wordings: dict[str, str] = {}
        self.failure: BaseException | None = None
        self.position: tuple[str, int] = ("", 0)

    def run(self, session: MontySession, code: str, inputs: dict[str, Any]) -> None:
        """Feeds code to the interpreter and answers it until it has ended.

        Raises:
            MontyError: the code failed, or the interpreter did.
            Overdue: it takes too long.
            Violation: it sent what cannot come from an honest program.
            Exception: whatever `Host.call` raised that the program cannot mend.
        """
        from pydantic_monty import FunctionSnapshot, MontyComplete, NameLookupSnapshot

        started, waited = time.monotonic(), self.host_seconds
        most = self._bridge.limits.seconds + GRACE_SECONDS
        snapshot: SyncSnapshot = session.feed_start(code, inputs=inputs, print_callback=self._print)
        while isinstance(snapshot, FunctionSnapshot | NameLookupSnapshot):
            self._snapshot = snapshot
            self.position = (snapshot.position.filename, snapshot.position.start)
            if time.monotonic() - started - (self.host_seconds - waited) > most:
                raise Overdue
            if isinstance(snapshot, NameLookupSnapshot):
                snapshot = self._look_up(snapshot)
            elif snapshot.is_os_function:
                snapshot = self._os(snapshot)
            else:
                snapshot = self._call(snapshot)
        self._snapshot = None
        if not isinstance(snapshot, MontyComplete):  # Its output is not read: what is in it may be huge.
            raise Violation("it waits for what never comes")

    def heap(self) -> bytes:
        """Returns the interpreter's state, while it waits for an answer."""
        return self._snapshot.dump() if self._snapshot is not None else b""

    def _print(self, stream: str, text: str) -> None:
        self.printed.write(text)

    def _tell(self, header: dict[str, Any], blob: bytes = b"") -> None:
        self._bridge.answer(header, blob)

    # Calls and attributes of what the program was given.

    def _look_up(self, snapshot: NameLookupSnapshot) -> SyncSnapshot:
        receiver, name = snapshot.object_id and self._crossing.find(snapshot.object_id), snapshot.variable_name
        if isinstance(receiver, Image):
            if name in ("id", "size"):
                return snapshot.resume(value=getattr(receiver, name))
            if name == "clean":
                value, error = self._ask({"op": "clean", "n": 0, "image": receiver.handle})
                return snapshot.resume() if error else snapshot.resume(value=value)
        method = f"{type(receiver).__name__}.{name}"
        if not isinstance(receiver, Proxy) or method not in self._offered:
            if receiver is not None:  # Monty words the error itself.
                text = f"'{type(receiver).__name__}' object has no attribute '{name}'"
                self.wordings[text] = f"AttributeError: {self._missing(receiver, name)}"
            return snapshot.resume()
        if method not in self._properties:
            return snapshot.resume(value=_function(method))
        value, error = self._ask(self._crossing.request(method, [], {}))
        return snapshot.resume() if error else snapshot.resume(value=value)

    def _call(self, snapshot: FunctionSnapshot) -> SyncSnapshot:
        name, args, kwargs = snapshot.function_name, snapshot.args, snapshot.kwargs
        if snapshot.object_id is not None:
            receiver = self._crossing.find(snapshot.object_id)
            method = f"{type(receiver).__name__}.{name}"
            if not isinstance(receiver, Proxy) or method not in self._offered or method in self._properties:
                return self._fail(snapshot, "AttributeError", self._missing(receiver, name))
        elif name == END:
            self.value = _shortened(args, self._bridge.limits.output_chars)
            return snapshot.resume({"return_value": None})
        elif name == OFFER:
            self._shims[args[0]] = args[1]
            return snapshot.resume({"return_value": None})
        elif name in self._offered:  # A method that the program keeps under a name of its own.
            method = name
        else:
            return self._fail(snapshot, "NameError", f"name '{name}' is not defined")
        try:
            request = self._crossing.request(method, args, kwargs)
        except values.Unfit as unfit:
            text = (
                f"{method} cannot be given {unfit}. Arguments are None, bool, int, float, str, list, tuple, dict and "
                "images"
            )
            return self._fail(snapshot, "RuntimeError", text, "ToolError")
        value, error = self._ask(request)
        if error is None:
            return snapshot.resume({"return_value": value})
        kind, text = error
        return self._fail(snapshot, "BaseException" if kind == "CallLimitError" else "RuntimeError", text, kind)

    def _ask(self, request: dict[str, Any]) -> tuple[Any, list[str] | None]:
        """Returns the value of a call, or the kind and text of its error."""
        self.printed.send()
        started = time.monotonic()
        try:
            reply = self._bridge.answer(request, b"")
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.host_seconds += time.monotonic() - started
        assert reply is not None
        header, _ = frames.unpack(reply)
        if "error" in header:
            return None, header["error"]
        decode = values.Decoder(self._crossing.receive, self._bridge.limits.depth + 1)
        return decode(header["value"]), None

    def _fail(self, snapshot: FunctionSnapshot, type_name: Any, text: str, shown: str = "") -> SyncSnapshot:
        self.wordings[text] = f"{shown or type_name}: {text}"
        return snapshot.resume({"exc_type": type_name, "message": text})

    def _missing(self, receiver: Any, name: str) -> str:
        """Says that something the program was given has no such attribute, and what it has."""
        kind = type(receiver).__name__
        text = f"'{kind}' object has no attribute '{name}'."
        if isinstance(receiver, Image):
            return f"{text} {UNSEEN if name in PIXELS else ATTRIBUTES}"
        if not isinstance(receiver, Proxy):
            return f"type object has no attribute '{name}'"
        offered = sorted(method.partition(".")[2] for method in self._offered if method.startswith(f"{kind}."))
        return f"{text}{near(name, offered)} Available: {', '.join(offered)}"

    # Modules, the clock, entropy. Files, the environment and everything else are left to Monty, which refuses.

    def _os(self, snapshot: FunctionSnapshot) -> SyncSnapshot:
        name, args = snapshot.function_name, snapshot.args
        if name == "import":
            if args[0] in self._shims:
                return snapshot.resume({"return_value": self._shims[args[0]]})
            return self._fail(snapshot, "ModuleNotFoundError", _no_module(str(args[0])))
        if name == "time.time":
            return snapshot.resume({"return_value": self._clock.seconds()})
        if name == "datetime.now":
            zone = args[0] if args and isinstance(args[0], datetime.tzinfo) else None
            now = datetime.datetime.fromtimestamp(self._clock.seconds(), zone or datetime.UTC)
            return snapshot.resume({"return_value": now if zone else now.replace(tzinfo=None)})
        if name == "date.today":
            now = datetime.datetime.fromtimestamp(self._clock.seconds(), datetime.UTC)
            return snapshot.resume({"return_value": now.date()})
        if name in ("time.sleep", "asyncio.sleep"):
            seconds = args[0] if args and isinstance(args[0], int | float) else 0
            if not 0 <= seconds < 1e9:
                return self._fail(snapshot, "ValueError", "sleep length must be non-negative and finite")
            self._clock.sleep(seconds)
            return snapshot.resume({"return_value": None})
        if name == "os.urandom" and args and isinstance(args[0], int) and 0 <= args[0] <= MOST_RANDOM:
            return snapshot.resume({"return_value": self._entropy.randbytes(args[0])})
        return snapshot.resume_not_handled()


def _no_module(name: str) -> str:
    text = f"No module named '{name}' in the experiment sandbox (available: {', '.join(AVAILABLE)})"
    if name.partition(".")[0] in ("numpy", "PIL"):
        return f"{text}. {name} is only in the sandbox `process`; here use plain Python, and tools to look at images"
    return text


def _function(method: str) -> Any:
    def function() -> None:
        """Stands for a method that the program keeps; only its name crosses."""

    function.__name__ = method
    return function


def _shortened(args: Sequence[Any], most: int) -> str:
    text, length = args
    if not isinstance(text, str) or not isinstance(length, int):
        raise Violation("a result that is no text")
    more = max(length, len(text)) - most
    return values.text(text[:most]) + (f" [{more:,} more characters]" if more > 0 else "")
