"""One program and its host: answers the interpreter, and trusts none of its messages."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from maia_core.plugin import Host
from maia_sandbox import frames, values
from maia_sandbox.bridge import Bridge
from maia_sandbox.frames import HEADER_LIMIT, Violation
from maia_sandbox.texts import MAX_NAME, Printed
from maia_sandbox_monty import prelude
from maia_sandbox_monty.crossing import Crossing, Image, Proxy, missing_attribute
from maia_sandbox_monty.environment import Environment

if TYPE_CHECKING:
    from pydantic_monty import FunctionSnapshot, MontySession, NameLookupSnapshot, SyncSnapshot

GRACE_SECONDS = 1.0
"""From the interpreter's own time limit to the end of its process."""
MAX_WORDINGS = 100


class Overdue(Exception):
    """The program took too long, the host's own calls not counted."""


class Dialogue:
    """Drives one program to its end.

    Attributes:
        value: The text of what the program returned; None until it did.
        printed: Takes what the program prints.
        wordings: The last messages of exceptions that the program may have seen, to better last lines of their
            tracebacks.
        methods: Names that the program may call or read.
        failure: The exception of the host's call, if the program cannot mend it.
    """

    def __init__(self, bridge: Bridge, crossing: Crossing, host: Host, number: int, seed: int, token: str) -> None:
        """Makes the dialogue of one program; `token` stands before each message of the session."""
        self._bridge = bridge
        self._crossing = crossing
        self.methods = self._offered = host.methods | host.properties
        self._listed = self._offered - getattr(host, "hidden", frozenset())
        self._properties = host.properties
        self._seed = seed
        self._environment = Environment(number)
        self._snapshot: FunctionSnapshot | NameLookupSnapshot | None = None
        self._prepared = False
        self._token = token
        self._message = self._errors = ""
        self._most_waiting = 2 * HEADER_LIMIT + 12 * bridge.limits.output_chars
        self._misses = 0
        self.printed = Printed(self._tell, bridge.limits.output_chars)
        self.value: str | None = None
        self.wordings: dict[str, str] = {}
        self.failure: BaseException | None = None

    def prepare(self, session: MontySession, inputs: dict[str, Any]) -> None:
        """Makes everything ready for the program; `inputs` are its system and tools. Raises the errors of `run`."""
        methods = sorted(self._offered - self._properties)
        code = prelude.before(methods)
        self._run(session, code, inputs | {"_maia_seed": self._seed, "_maia_token": self._token})

    def run(self, session: MontySession, code: str, inputs: dict[str, Any]) -> None:
        """Feeds the program to the interpreter and answers it until it has ended.

        Raises:
            MontyError: the program failed, or the interpreter did.
            Overdue: it takes too long.
            Violation: it sent a message that no honest program sends.
            Exception: whatever `Host.call` raised that the program cannot mend.
        """
        self._prepared = True
        self._run(session, code, inputs)
        self.printed.write(self._errors)

    def _run(self, session: MontySession, code: str, inputs: dict[str, Any]) -> None:
        from pydantic_monty import FunctionSnapshot, MontyComplete, NameLookupSnapshot

        started = time.monotonic()
        most = self._bridge.limits.seconds + GRACE_SECONDS
        snapshot: SyncSnapshot = session.feed_start(code, inputs=inputs, print_callback=self._print)
        while isinstance(snapshot, FunctionSnapshot | NameLookupSnapshot):
            self._snapshot = snapshot
            if time.monotonic() - started - self._bridge.host_seconds > most:
                raise Overdue
            if isinstance(snapshot, NameLookupSnapshot):
                snapshot = self._look_up(snapshot)
            elif snapshot.is_os_function:
                snapshot = self._os(snapshot)
            else:
                snapshot = self._call(snapshot)
        self._snapshot = None
        if not isinstance(snapshot, MontyComplete):  # Its output is not read: it may be huge.
            raise Violation("it waits for an event that never comes")

    def heap(self) -> bytes:
        """Returns the interpreter's state, while it waits for an answer."""
        return self._snapshot.dump() if self._snapshot is not None else b""

    def _print(self, stream: str, text: str) -> None:
        if stream == "stdout":
            self.printed.write(text)
            return
        *lines, self._errors = (self._errors + text).split("\n")
        for line in lines:
            said, token, message = line.partition(self._token)
            if token:
                self._message = message
            self.printed.write(said if token else f"{line}\n")
        if len(self._errors) > self._most_waiting:
            raise Violation("a line without end")

    def _tell(self, header: dict[str, Any], blob: bytes = b"") -> None:
        self._bridge.answer(header, blob)

    def _sent(self) -> Any:
        """Returns the message that the program sent before it called the host."""
        message, self._message = self._message, ""
        try:
            return json.loads(message)
        except (ValueError, RecursionError) as error:
            raise Violation("a message that is not JSON") from error

    # Attributes and calls. The arguments of a call are not looked at, see `prelude`.

    def _look_up(self, snapshot: NameLookupSnapshot) -> SyncSnapshot:
        name = snapshot.variable_name
        receiver = self._crossing.find(snapshot.object_id) if snapshot.object_id else None
        if receiver is None or len(name) > MAX_NAME:
            return self._miss(snapshot)
        missing = f"'{type(receiver).__name__}' object has no attribute '{name}'"  # As Monty words it.
        method = f"{type(receiver).__name__}.{name}"
        if isinstance(receiver, Image) and name in ("id", "size"):
            return snapshot.resume(value=getattr(receiver, name))
        if isinstance(receiver, Image) and name == "clean":
            value, error = self._ask({"op": "clean", "image": receiver.handle})
        elif isinstance(receiver, Proxy) and method in self._properties:
            value, error = self._ask({"op": "call", "method": method, "args": [], "kwargs": {}})
        else:
            value, error = None, ["AttributeError", missing_attribute(receiver, name, self._listed)]
        if error is None:
            return snapshot.resume(value=value)
        self._word(missing, ": ".join(error))
        return self._miss(snapshot)

    def _miss(self, snapshot: NameLookupSnapshot) -> SyncSnapshot:
        """Answers that there is no such name; a program may ask as often as it may call the host."""
        self._misses += 1
        if self._misses > self._bridge.limits.host_calls:
            raise Violation(f"more than {self._bridge.limits.host_calls:,} look-ups of missing names")
        return snapshot.resume()

    def _word(self, text: str, better: str) -> None:
        self.wordings[text] = better
        if len(self.wordings) > MAX_WORDINGS:
            del self.wordings[next(iter(self.wordings))]

    def _call(self, snapshot: FunctionSnapshot) -> SyncSnapshot:
        name = snapshot.function_name
        if snapshot.object_id is not None:
            receiver = self._crossing.find(snapshot.object_id)
            return self._fail(snapshot, "AttributeError", missing_attribute(receiver, name, self._listed))
        if name == prelude.OFFER and not self._prepared:
            self._environment.modules[snapshot.args[0]] = snapshot.args[1]
            return snapshot.resume({"return_value": None})
        if name == prelude.END:
            self.value = self._taken(self._sent())
            return snapshot.resume({"return_value": None})
        if name != prelude.CALL:
            return self._fail(snapshot, "NameError", f"name '{name}' is not defined")
        request = self._sent()
        if not isinstance(request, dict) or request.get("op") != "call":
            raise Violation("a request that is not a call")
        value, error = self._ask(request)
        if error is None:
            return snapshot.resume({"return_value": value})
        kind, text = error
        return self._fail(snapshot, "BaseException" if kind == "CallLimitError" else "RuntimeError", text, kind)

    def _ask(self, request: dict[str, Any]) -> tuple[Any, list[str] | None]:
        """Returns the value of a call, or the kind and text of its error."""
        self.printed.send()
        try:
            reply = self._bridge.answer(request, b"")
        except BaseException as error:
            self.failure = error
            raise
        assert reply is not None
        header, _ = _unpacked(reply)
        if "error" in header:
            return None, header["error"]
        decode = values.Decoder(self._crossing.receive, self._bridge.limits.depth + 1)
        return decode(header["value"]), None

    def _taken(self, message: Any) -> str:
        """Takes the program's value: shows the images in it, and returns its text."""
        if type(message) is not list or [type(part) for part in message] != [str, int, list]:
            raise Violation("a result that is not text")
        text, length, images = message
        self._bridge.show(images)
        most = self._bridge.limits.output_chars
        more = max(length, len(text)) - most
        return values.text(text[:most]) + (f" [{more:,} more characters]" if more > 0 else "")

    def _fail(self, snapshot: FunctionSnapshot, type_name: Any, text: str, shown: str = "") -> SyncSnapshot:
        self._word(text, f"{shown or type_name}: {text}")
        return snapshot.resume({"exc_type": type_name, "message": text})

    def _os(self, snapshot: FunctionSnapshot) -> SyncSnapshot:
        try:
            known, value = self._environment.ask(snapshot.function_name, snapshot.args)
        except ModuleNotFoundError as error:
            return self._fail(snapshot, "ModuleNotFoundError", str(error))
        return snapshot.resume({"return_value": value}) if known else snapshot.resume_not_handled()


def _unpacked(frame: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns header and raw part of one whole frame of this side's own making."""
    at = 0

    def exactly(size: int) -> bytearray:
        nonlocal at
        at += size
        return bytearray(memoryview(frame)[at - size : at])

    return frames.read(exactly)
