"""The `monty` sandbox: one interpreter process a run; names persist from one program to the next."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import sys
import tempfile
import time
import unicodedata
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maia_core.plugin import Execution, ExecutionLimits, Host, PluginConfig, RunContext, SandboxError
from maia_sandbox import lockdown, values
from maia_sandbox.bridge import Bridge
from maia_sandbox.frames import HEADER_LIMIT, Violation
from maia_sandbox_monty import prelude
from maia_sandbox_monty.crossing import Crossing, System, Tools
from maia_sandbox_monty.dialogue import GRACE_SECONDS, Dialogue, Overdue
from maia_sandbox_monty.launcher import in_force, launcher, monty_binary
from maia_sandbox_monty.traceback import Programs

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontyError, MontySession

MAX_SUSPENSIONS = 2**31
"""Calls and looks at the clock in one session; the limits of one program are its time and its calls."""
STARTS = 4
"""How many interpreters MAIA starts for one program, if something ends them."""
FIX = "pip install --force-reinstall pydantic-monty"


class MontySandbox:
    """Runs programs in Monty, an interpreter that knows neither files nor network nor the host's Python."""

    has_numpy = False

    class Config(PluginConfig):
        """There are no options; the limits of a program are in the run's table `[experiment]`."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Starts the interpreter's process.

        Raises:
            SandboxError: there is no interpreter for this machine.
        """
        self._limits = context.config.experiment
        self._seed = context.seed
        self._number = 0
        self._folder = tempfile.TemporaryDirectory(prefix="maia-monty-")
        self._pool, self._sessions = self._started(context)
        """The interpreter's processes, and the present session, or none."""
        self._close = weakref.finalize(self, _end, self._pool, self._sessions, self._folder)
        self._lost = False

    def _started(self, context: RunContext) -> tuple[Monty, list[_Session]]:
        """Starts the interpreter behind the kernel's measures, or without them where it does not start so."""
        reason = "this system lacks them"
        if not lockdown.missing():
            try:
                return self._opened(launcher(Path(self._folder.name), monty_binary(), self._limits.memory_mb))
            except (SandboxError, OSError) as error:
                reason = str(error).partition("\n")[0]
        opened = self._opened()
        context.warn(f"the monty sandbox runs programs without the kernel's measures: {reason}")
        return opened

    def _opened(self, binary: str | None = None) -> tuple[Monty, list[_Session]]:
        pool = _start(binary)
        try:
            return pool, [_Session(pool, self._limits)]
        except BaseException:
            pool.__exit__(None, None, None)
            raise

    def run(self, program: str, host: Host) -> Execution:
        """Runs one program; see `maia_core.protocols.Sandbox`."""
        self._number = host.number or self._number + 1
        started = time.monotonic()
        try:
            session = self._ready(host)
            error = session.run(program)
        except BaseException:  # Ctrl-C too: the program must not continue without its host.
            self._discard()
            raise
        meddled = prelude.MEDDLING.search(unicodedata.normalize("NFKC", program))
        # A program that began anew and failed leaves nothing either: the journal takes its loss for one at its end.
        if session.broken or meddled or (error and self._lost):
            self._discard()
        lost, self._lost = self._lost, False
        return Execution(
            stdout=session.bridge.texts["stdout"],
            displays=() if error else tuple(session.bridge.shown),
            value="" if error else session.value,
            error=error,
            seconds=time.monotonic() - started,
            host_calls=session.bridge.calls,
            variables_lost=lost,
        )

    def _ready(self, host: Host) -> _Session:
        """Returns the session that is ready for a program: a new one where the last program left its session broken."""
        if not self._close.alive:
            raise SandboxError("the sandbox is closed")
        seed = self._seed + self._number
        failure = SandboxError("no new interpreter answers; free memory on this machine, then resume the run")
        for _ in range(STARTS):
            try:
                if not self._sessions:
                    self._sessions.append(_Session(self._pool, self._limits))
                if self._sessions[0].begin(host, self._number, seed):
                    return self._sessions[0]
            except SandboxError as error:
                failure = error
            self._discard()
        raise failure

    def _discard(self) -> None:
        while self._sessions:
            session = self._sessions.pop()
            self._lost = self._lost or session.used
            session.close()

    def describe(self) -> list[tuple[str, str]]:
        """Returns the measures in force: pairs of measure and state."""
        import pydantic_monty

        return [
            ("interpreter", f"Monty {pydantic_monty.__version__}, in a process of its own"),
            ("files, network, processes, environment", "unknown to the interpreter"),
            ("memory of a program's values", f"{self._limits.memory_mb} MiB"),
            ("recursion", "1,000 calls"),
            ("the kernel's measures", in_force(self._sessions[0].pid if self._sessions else None)),
        ]

    def close(self) -> None:
        """Ends the interpreter. Closing twice is allowed."""
        self._close()


def _start(binary: str | None = None) -> Monty:
    if importlib.util.find_spec("opentelemetry") is None:
        # The client tries to import it at every answer; a refusal at once halves the time of a call.
        sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]  # None forbids the import.
    try:
        from pydantic_monty import Monty

        return Monty(
            binary_path=binary,
            min_processes=0,
            max_processes=2,
            max_checkouts_per_worker=1,
            feed_duration_limit_grace=GRACE_SECONDS,
        ).__enter__()
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxError(f"the monty sandbox cannot start ({error}); {FIX}") from error


def _end(pool: Monty, sessions: list[_Session], folder: tempfile.TemporaryDirectory[str]) -> None:
    pool.__exit__(None, None, None)  # First: it would replace the process of a session that has ended.
    while sessions:
        session = sessions.pop()
        session.close()
        _wait_for(session.pid)
    folder.cleanup()


def _wait_for(pid: int | None) -> None:
    """Waits until a process that was killed is off the system's list: the client does not always."""
    with contextlib.suppress(ChildProcessError):
        for _ in range(100 if pid and hasattr(os, "WNOHANG") else 0):
            if os.waitpid(pid or 0, os.WNOHANG)[0]:
                return
            time.sleep(0.01)


class _Bridge(Bridge):
    """Makes room for a result by the images that a program no longer holds: this interpreter does not name them.

    Args:
        limits: The limits of one experiment.
        unheld: Returns the handles of those images.
    """

    def __init__(self, limits: ExecutionLimits, unheld: Callable[[], list[int]]) -> None:
        super().__init__(limits)
        self._unheld = unheld

    def packed(self, result: Any) -> bytes:
        """See `Bridge.packed`."""
        try:
            return super().packed(result)
        except values.TooMuch:
            for handle in self._unheld():
                self.drop(handle)
            return super().packed(result)


class _Session:
    """One state of the interpreter, and the host's knowledge of it.

    Attributes:
        bridge: The state of the dialogue with the programs.
        value: The text of the last program's value.
        used: True once a program ran.
        broken: True once it can take no further program.
        pid: The interpreter's process.
    """

    def __init__(self, pool: Monty, limits: ExecutionLimits) -> None:
        from pydantic_monty import MontyError

        self._limits = limits
        self._session: MontySession = pool.checkout(
            limits={
                "max_feed_duration_secs": limits.seconds,
                "max_memory": limits.memory_mb << 20,
                "max_suspensions": MAX_SUSPENSIONS,
            },
            os_policy={"datetime": "call_host", "sleep": "zero", "random_start": {"seed": 0}},
        )
        self._crossing = Crossing()
        self._programs = Programs()
        self._token = f"\0{secrets.token_hex(8)} "
        self.bridge = _Bridge(limits, self._unheld)
        self.value = ""
        self.used = self.broken = False
        try:
            self._session.__enter__()
            given = {
                "Image": self._crossing.image_type,
                "_maia_depth": limits.depth,
                "_maia_most": limits.output_chars,
                "_maia_limit": HEADER_LIMIT,
            }
            self._session.feed_run(prelude.SESSION, inputs=given)
        except (MontyError, OSError, RuntimeError) as error:
            raise SandboxError(f"the monty sandbox cannot start ({error}); {FIX}") from error
        self._programs.fed()
        self.pid = self._session.worker_pid

    def begin(self, host: Host, number: int, seed: int) -> bool:
        """Makes everything ready for a program; returns whether the interpreter still works."""
        self.bridge.begin("", host, number, seed, "")
        self._number = number
        self._dialogue = Dialogue(self.bridge, self._crossing, host, number, seed, self._token)
        self._system = self._crossing.proxy(System)
        self._tools = self._crossing.proxy(Tools)
        self._programs.fed()
        from pydantic_monty import MontyError

        try:
            self._dialogue.prepare(self._session, {"_maia_system": self._system, "_maia_tools": self._tools})
        except (MontyError, Overdue, Violation, RuntimeError):
            return False
        return True

    def run(self, program: str) -> str:
        """Runs one program and returns its error."""
        from pydantic_monty import MontyError

        self.used = True
        dialogue = self._dialogue
        text = values.text(program)
        self._programs.fed(self._number, text)
        inputs = dict.fromkeys(prelude.ENTRIES)
        error = ""
        try:
            dialogue.run(self._session, text + prelude.AFTER, inputs)
            if dialogue.value is None:
                error = "SyntaxError: 'return' outside function"
        except MontyError as failure:
            error = self._explain(failure)
        except Overdue:
            error = self._overdue()
        except Violation as violation:
            error = self._stop(f"SandboxViolation: the experiment broke the sandbox's protocol ({violation})")
        except Exception as failure:
            if failure is dialogue.failure:
                raise
            error = self._stop(
                f"SandboxViolation: the experiment gave a value that cannot leave the sandbox ({failure})"
            )
        dialogue.printed.end()
        self.value = dialogue.value or ""
        return error

    def close(self) -> None:
        """Ends the interpreter's process."""
        with contextlib.suppress(Exception):  # It may be gone already.
            self._session.__exit__(None, None, None)

    def _unheld(self) -> list[int]:
        return list(self._crossing.unheld(self._dialogue.heap(), self._system.id))

    def _explain(self, error: MontyError) -> str:
        from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError

        dialogue = self._dialogue
        if dialogue.printed.cut:
            return f"OutputLimitError: more than {self._limits.output_chars:,} characters printed in one experiment"
        if isinstance(error, MontyCrashedError):
            late = error.timed_out or "limit" in str(error)
            return self._overdue() if late else self._stop(f"WorkerDied: {error}")
        if not isinstance(error, MontyRuntimeError | MontySyntaxError):
            return self._stop(f"SandboxViolation: {error}")
        text, located = self._programs.report(error, dialogue.wordings, dialogue.methods)
        if not located and text.startswith("TimeoutError: "):
            return self._stop("TimeLimit: experiment exceeded its time limit")
        if not located and isinstance(error, MontyRuntimeError) and not error.traceback():
            return self._stop(text)  # The interpreter itself gave up.
        if any(f"\nTypeError: {entry}()" in text for entry in prelude.ENTRIES):
            return f"{text}; it is called with (system, tools)"
        return text

    def _overdue(self) -> str:
        most = self._limits.seconds + GRACE_SECONDS
        return self._stop(f"TimeLimitError: experiment still running after {most:g} s; it was stopped")

    def _stop(self, error: str) -> str:
        self.broken = True
        return values.text(error)
