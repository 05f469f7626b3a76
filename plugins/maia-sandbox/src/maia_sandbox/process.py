"""The `process` sandbox: one locked-down child process a run, and a spare one kept warm."""

from __future__ import annotations

import re
import secrets
import time
import weakref

from maia_core.plugin import Execution, Host, PluginConfig, RunContext, SandboxError
from maia_sandbox import child, lockdown
from maia_sandbox.child import GRACE_SECONDS, Child, Overdue, Pool
from maia_sandbox.frames import Violation

STARTS = 4
"""How many processes MAIA starts for one program, if something ends them."""
FULL = "MemoryLimitError: the experiment kept too much memory; keep less in variables of the module"


class ProcessSandbox:
    """Runs programs in a child process that the kernel confines; module-level names persist between programs."""

    class Config(PluginConfig):
        """Options of the sandbox; the limits of a program are in the run's table `[experiment]`."""

        spare: bool = True
        """Keep a second process warm, so that a killed one is replaced without waiting."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Starts the first worker in the background.

        Raises:
            SandboxError: this machine's kernel cannot confine programs; the message says what is missing.
        """
        if missing := lockdown.missing():
            raise SandboxError(f"the process sandbox cannot work here: {missing}")
        self._config = config
        self._limits = context.config.experiment
        self._seed = context.seed
        self._programs: dict[int, str] = {}
        self._number = 0
        self._pool = Pool(self._limits)
        self._close = weakref.finalize(self, self._pool.close)
        self._worker: Child | None = None
        self._lost = False
        self._pool.start()

    def run(self, program: str, host: Host) -> Execution:
        """Runs one program; see `maia_core.protocols.Sandbox`."""
        self._number = host.number or self._number + 1
        self._programs[self._number] = program
        try:
            worker = self._started(program, host)
            started = time.monotonic()
            end = self._converse(worker)
        except BaseException:  # Ctrl-C too: the program must not continue without its host.
            self._discard()
            raise
        error = end or worker.bridge.texts["error"]
        # A program that began anew and failed leaves nothing either: the journal takes its loss for one at its end.
        # Where nobody can tell that a worker is at rest, it serves one program.
        if end or not worker.place or (error and (worker.late or self._lost)):
            self._discard()
        elif worker.memory_left() < self._limits.memory_mb << 20 >> 4:
            self._discard()
            error = f"{error}\n{FULL}".lstrip()
        else:
            worker.pause()
        if self._config.spare or self._worker is None:
            self._pool.start()
        bridge, lost, self._lost = worker.bridge, self._lost, False
        return Execution(
            stdout=bridge.texts["stdout"],
            displays=() if end else tuple(bridge.shown),
            value="" if end else bridge.texts["value"],
            error=error,
            seconds=time.monotonic() - started,
            host_calls=bridge.calls,
            variables_lost=lost,
        )

    def describe(self) -> list[tuple[str, str]]:
        """Returns the measures in force on this machine: pairs of measure and state."""
        return list(self._ready_worker().measures)

    def close(self) -> None:
        """Ends the workers. Closing twice is allowed."""
        self._close()
        self._worker = None

    def _started(self, program: str, host: Host) -> Child:
        """Returns the worker that took up the program: another one where the last program left its worker broken."""
        number, token = self._number, secrets.token_hex(8)
        failure = SandboxError("no new experiment process answers; free memory on this machine, then resume the run")
        for _ in range(STARTS):
            seconds = child.START_SECONDS if self._worker is None else child.HANDSHAKE_SECONDS
            try:
                worker = self._ready_worker()
                worker.used = True
                worker.resume()
                worker.allow(seconds)
                worker.send(worker.bridge.begin(program, host, number, self._seed + number, token))
                if worker.receive()[0] == {"op": "started", "token": token} and not worker.late:
                    worker.allow(self._limits.seconds)
                    return worker
            except SandboxError as error:
                failure = error
            except (Overdue, EOFError, OSError, Violation):
                pass
            self._discard()
        raise failure

    def _ready_worker(self) -> Child:
        if not self._close.alive:
            raise SandboxError("the sandbox is closed")
        if self._worker is None:
            self._worker = self._pool.take()
        self._worker.wait_until_ready()
        return self._worker

    def _discard(self) -> None:
        if self._worker is not None:
            self._lost = self._lost or self._worker.used
            self._pool.discard(self._worker)
            self._worker = None

    def _converse(self, worker: Child) -> str:
        """Answers the worker until its program is done; returns why it had to be stopped, or an empty string."""
        limit = self._limits.seconds
        cpu = worker.cpu_seconds()
        try:
            while True:
                header, blob = worker.receive()
                if header.get("op") == "done":
                    if not worker.is_at_rest():
                        raise Violation("it was not at rest after its end")
                    return ""
                if worker.cpu_seconds() - cpu > limit + GRACE_SECONDS:
                    raise Overdue
                before = worker.bridge.host_seconds
                worker.pause()
                reply = worker.bridge.answer(header, blob)
                worker.resume()
                worker.deadline += worker.bridge.host_seconds - before
                if reply is not None:
                    worker.send(reply)
        except Overdue:
            stack = self._program_lines(worker.stack())
            return f"{stack}TimeLimitError: experiment still running after {limit + GRACE_SECONDS:g} s; it was stopped"
        except Violation as error:
            return f"SandboxViolation: the experiment broke the sandbox's protocol ({error}); it was stopped"
        except (EOFError, ConnectionError):
            cause = worker.cause_of_end()
            return f"{self._program_lines(worker.errors())}WorkerDied: {cause}"

    def _program_lines(self, dump: str) -> str:
        """Turns a stack dump of `faulthandler` into a traceback of the program's own lines."""
        lines = []
        for number, line, name in re.findall(r'File "experiment (\d{1,9})", line (\d{1,9}) in (\w{1,100})', dump)[:20]:
            lines.append(f'  File "experiment {number}", line {line}, in {name}\n')
            source = self._programs.get(int(number), "").split("\n")
            if 0 < int(line) <= len(source):
                lines[-1] += f"    {source[int(line) - 1].strip()}\n"
        return "".join(["Traceback (most recent call last):\n", *reversed(lines)]) if lines else ""
