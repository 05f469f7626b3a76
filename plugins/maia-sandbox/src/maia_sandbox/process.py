"""The `process` sandbox: one locked-down child process a run, and a spare one kept warm."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from maia_core.plugin import Execution, ExecutionLimits, Host, PluginConfig, RunContext, SandboxError
from maia_sandbox import frames, lockdown
from maia_sandbox.bridge import Bridge
from maia_sandbox.frames import Violation

BOOT = (
    "import sys, types, json; fd, package, paths, limits = json.loads(sys.argv[1]); sys.path += paths;"
    "p = types.ModuleType('sandboxed'); p.__path__ = [package]; sys.modules['sandboxed'] = p;"
    "from sandboxed.worker import main; main(fd, limits)"
)
"""Loads the worker as a package of its own, so that nothing else of MAIA is imported beside it."""

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
START_SECONDS = 30.0
HANDSHAKE_SECONDS = 5.0
GRACE_SECONDS = 1.0
"""From the soft time limit, which the program sees as an exception, to the kill."""


class _Overdue(Exception):
    """The worker did not answer in time."""


class Worker:
    """One child process and the host's end of its channel.

    Attributes:
        deadline: When (on the monotonic clock) the worker must have answered.
        late: True once the soft time limit was reached; before the first program there is no soft one.
        used: True once it was sent a program.
        bridge: The state of the dialogue with the worker.
        measures: What is in force in it: pairs of measure and state.
    """

    def __init__(self, limits: ExecutionLimits) -> None:
        if not sys.executable:
            raise SandboxError("the process sandbox needs a Python interpreter to start, and sys.executable names none")
        ours, theirs = socket.socketpair()
        paths = sorted({str(Path(module.__file__ or "").parents[1]) for module in (np, PIL)})
        start = json.dumps([theirs.fileno(), str(Path(__file__).parent), paths, limits.model_dump()])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-S", "-B", "-c", BOOT, start],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal is the host's business.
                cwd="/",
            )
        except OSError as error:
            ours.close()
            raise SandboxError(f"cannot start a process for experiments: {error.strerror}") from error
        finally:
            theirs.close()
        assert self._process.stderr is not None
        self._errors = self._process.stderr
        os.set_blocking(self._errors.fileno(), False)
        self._socket = ours
        self._frame_limit = limits.frame_mb << 20
        self._stopped = False
        self.used = False
        self.deadline = 0.0
        self.late = True
        self.bridge = Bridge(limits)
        self.measures: list[tuple[str, str]] = []

    def wait_until_ready(self) -> None:
        """Waits until the worker is locked down.

        Raises:
            SandboxError: it did not start, or its self-probe was not refused by the kernel.
        """
        if self.measures:
            return
        self.deadline = time.monotonic() + START_SECONDS
        try:
            header, _ = self.receive()
        except (_Overdue, EOFError, OSError, Violation) as error:
            lines = self.errors().strip().splitlines() or [f"no answer ({type(error).__name__})"]
            raise SandboxError(f"the experiment process did not start: {lines[-1]}") from error
        if reached := [name for name, state in header["probe"].items() if state != "refused"]:
            raise SandboxError(f"the kernel does not confine experiments here: {', '.join(reached)} was possible")
        self.measures = [(name, state) for name, state in header["measures"]]

    def send(self, frame: bytes) -> None:
        """Sends a frame."""
        self._socket.settimeout(max(self.deadline - time.monotonic(), 0) + GRACE_SECONDS)
        try:
            self._socket.sendall(frame)
        except TimeoutError:
            raise _Overdue from None

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Waits for a frame; at the deadline interrupts the program, and gives up a second later."""
        return frames.read(self._exactly, self._frame_limit)

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            left = self.deadline - time.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
                got = self._socket.recv_into(view)
            except TimeoutError:
                if self.late:
                    raise _Overdue from None
                self.late = True
                self.deadline += GRACE_SECONDS
                self._signal(signal.SIGALRM)
                continue
            if not got:
                raise EOFError
            view = view[got:]
        return data

    def pause(self) -> None:
        """Stops the process between programs, so that nothing it left behind uses the processor."""
        self._stopped = True
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets the process go on."""
        self.errors()  # Forgotten, so that a program that filled the pipe does not block the next one's stack dump.
        self.used = True
        if self._stopped:
            self._stopped = False
            self._signal(signal.SIGCONT)

    def allow(self, seconds: float) -> None:
        """Gives the process so much time until it must answer."""
        self.late = False
        self.deadline = time.monotonic() + seconds

    def cpu_seconds(self) -> float:
        """Returns the processor time that the process has used, 0 if it has ended."""
        try:
            return time.clock_gettime((~self._process.pid << 3) | 2)  # The clock id of another process.
        except OSError:
            return 0.0

    def stack(self) -> str:
        """Asks the process for a stack dump, even while it is inside of a C function, and returns what it wrote."""
        self.errors()
        self._signal(signal.SIGUSR2)
        text = ""
        for _ in range(20):
            time.sleep(0.005)
            text += self.errors()
            if text.endswith("\n"):
                break
        return text

    def errors(self) -> str:
        """Returns what came on the standard error since the last call, at most 64 KiB."""
        try:
            return (self._errors.read(1 << 16) or b"").decode("utf-8", "replace")
        except (OSError, ValueError):
            return ""

    def kill(self) -> None:
        """Ends the process and frees everything."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
        self._errors.close()

    def cause_of_end(self) -> str:
        """Returns what ended a process that closed its channel, and ends one that goes on nevertheless."""
        try:
            code = self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "it closed its channel"
        if code >= 0:
            return f"exit status {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


class ProcessSandbox:
    """Runs programs in a child process that the kernel confines; module-level names persist between programs."""

    class Config(PluginConfig):
        """Options of the sandbox; what a program may use is in the run's `[experiment]` limits."""

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
        self._pool = _Pool(self._limits)
        self._close = weakref.finalize(self, self._pool.close)
        self._worker: Worker | None = None
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
        except BaseException:  # Ctrl-C too: the program must not go on without its host.
            self._discard()
            raise
        seconds = time.monotonic() - started
        if end or (worker.late and worker.bridge.texts["error"]):
            self._discard()
        else:
            worker.pause()
        if self._config.spare or self._worker is None:
            self._pool.start()
        bridge = worker.bridge
        lost, self._lost = self._lost, False
        return Execution(
            stdout=bridge.stdout,
            displays=() if end else tuple(bridge.shown),
            value="" if end else bridge.texts["value"],
            error=end or bridge.texts["error"],
            seconds=seconds,
            host_calls=bridge.calls,
            variables_lost=lost,
        )

    def describe(self) -> list[tuple[str, str]]:
        """Returns what is in force on this machine: pairs of measure and state."""
        return list(self._ready_worker().measures)

    def close(self) -> None:
        """Ends the workers. Closing twice is allowed."""
        self._close()
        self._worker = None

    def _started(self, program: str, host: Host) -> Worker:
        """Returns the worker that took up the program: another one where the last program left its worker broken."""
        number = self._number
        while True:
            new = self._worker is None
            worker = self._ready_worker()
            token = secrets.token_hex(8)
            worker.resume()
            worker.allow(START_SECONDS if new else HANDSHAKE_SECONDS)
            try:
                worker.send(worker.bridge.begin(program, host, number, self._seed + number, token))
                if worker.receive()[0] == {"op": "started", "token": token} and not worker.late:
                    worker.allow(self._limits.seconds)
                    return worker
            except (_Overdue, EOFError, OSError, Violation):
                pass
            self._discard()
            if new:
                raise SandboxError("a new experiment process does not answer; is this machine out of memory?")

    def _ready_worker(self) -> Worker:
        if not self._close.alive:
            raise SandboxError("the sandbox is closed")
        if self._worker is None:
            self._worker = self._pool.take()
        try:
            self._worker.wait_until_ready()
        except BaseException:
            self._discard()
            raise
        return self._worker

    def _discard(self) -> None:
        if self._worker is not None:
            self._lost = self._lost or self._worker.used
            self._pool.discard(self._worker)
            self._worker = None

    def _converse(self, worker: Worker) -> str:
        """Answers the worker until its program is done; returns why it had to be stopped, or an empty string."""
        limit = self._limits.seconds
        cpu = worker.cpu_seconds()
        try:
            while True:
                header, blob = worker.receive()
                if header.get("op") == "done":
                    cut = header.get("cut")
                    worker.bridge.cut = cut if type(cut) is int and cut > 0 else 0
                    return ""
                if worker.cpu_seconds() - cpu > limit + GRACE_SECONDS:
                    raise _Overdue
                asked = time.monotonic()
                reply = worker.bridge.answer(header, blob)
                worker.deadline += time.monotonic() - asked
                if reply is not None:
                    worker.send(reply)
        except _Overdue:
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


class _Pool:
    """The workers of one sandbox: those in use and the spare one. Knows nothing of the sandbox, so it can outlive it.

    Workers are started by a thread that lives as long as the host: the kernel kills a worker when the thread that
    started it ends.
    """

    def __init__(self, limits: ExecutionLimits) -> None:
        self._limits = limits
        self._workers: list[Worker] = []
        self._spare: Future[Worker] | None = None

    def start(self) -> None:
        """Starts a spare worker in the background, unless there is one."""
        if self._spare is None:
            self._spare = _starter().submit(Worker, self._limits)

    def take(self) -> Worker:
        """Returns the spare worker, or a new one."""
        self.start()
        assert self._spare is not None
        try:
            self._workers.append(self._spare.result())
        except SandboxError:
            self._spare = None
            raise
        self._spare = None
        return self._workers[-1]

    def discard(self, worker: Worker) -> None:
        """Ends a worker."""
        self._workers.remove(worker)
        worker.kill()

    def close(self) -> None:
        """Ends all workers."""
        if self._spare is not None:
            with contextlib.suppress(SandboxError):
                self.take()
        while self._workers:
            self._workers.pop().kill()


_starters: dict[int, ThreadPoolExecutor] = {}


def _starter() -> ThreadPoolExecutor:
    """Returns this process's starting thread; a forked host gets its own."""
    if os.getpid() not in _starters:
        _starters[os.getpid()] = ThreadPoolExecutor(1, thread_name_prefix="maia-sandbox")
    return _starters[os.getpid()]
