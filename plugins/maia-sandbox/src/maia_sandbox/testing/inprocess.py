"""The `unsafe-inprocess` sandbox, which is none: programs run in this process and can do whatever the user can."""

from __future__ import annotations

import sys
import time
from typing import Any

from maia_core.plugin import Execution, Host, PluginConfig, RunContext, SandboxError
from maia_sandbox import frames
from maia_sandbox.bridge import Bridge
from maia_sandbox.worker import Worker

WARNING = (
    "WARNING: unsafe-inprocess runs the backbone's programs in this process, with your files, keys and network, and "
    "with no limit on time or memory. Use it only for programs that you have read."
)


class InProcessSandbox:
    """Runs programs with the same proxies as `process` does, without a process, a kernel wall or a time limit."""

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        print(WARNING, file=sys.stderr)
        self._seed = context.seed
        self._number = 0
        self._failure: BaseException | None = None
        self._bridge = Bridge(context.config.experiment)
        self._worker: Worker | None = Worker(self._ask, self._tell, context.config.experiment.model_dump())
        self._worker.passing = (KeyboardInterrupt,)
        sys.modules["experiment"] = self._worker.module

    def run(self, program: str, host: Host) -> Execution:
        """Runs one program; see `maia_core.protocols.Sandbox`."""
        if self._worker is None:
            raise SandboxError("the sandbox is closed")
        self._number = host.number or self._number + 1
        start, text = frames.unpack(self._bridge.begin(program, host, self._number, self._seed + self._number, ""))
        self._failure = None
        started = time.monotonic()
        self._bridge.cut = self._worker.run(start, text.decode())
        seconds = time.monotonic() - started
        if self._failure is not None:
            raise self._failure
        texts, calls = self._bridge.texts, self._bridge.calls
        return Execution(
            stdout=self._bridge.stdout, value=texts["value"], error=texts["error"], seconds=seconds, host_calls=calls
        )

    def describe(self) -> list[tuple[str, str]]:
        """Returns what is in force: pairs of measure and state."""
        return [("everything", "nothing is confined")]

    def close(self) -> None:
        """Forgets the programs' names. Closing twice is allowed."""
        self._worker = None

    def _tell(self, header: dict[str, Any], blob: bytes) -> None:
        self._bridge.answer(header, blob)

    def _ask(self, header: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            reply = self._bridge.answer(header, blob)
        except BaseException as error:  # What no program can mend ends it, and reaches the caller of `run`.
            self._failure = self._failure or error
            raise
        assert reply is not None
        return frames.unpack(reply)
