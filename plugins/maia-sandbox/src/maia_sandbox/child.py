"""The child processes that run programs, and the host's end of their channels."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from maia_core.plugin import ExecutionLimits, SandboxError
from maia_sandbox import frames
from maia_sandbox.bridge import Bridge
from maia_sandbox.frames import Violation
from maia_sandbox.lockdown import repeat_addresses

BOOT = (
    "import sys, types, json; fd, package, paths, limits = json.loads(sys.argv[1]); sys.path += paths;"
    "p = types.ModuleType('sandboxed'); p.__path__ = [package]; sys.modules['sandboxed'] = p;"
    "from sandboxed.worker import prepare; prepare(fd, limits)()"
)
"""Loads the worker as a package of its own, so that nothing else of MAIA is imported beside it."""

ENVIRONMENT = {"LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}
ENVIRONMENT |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# A session of its own: Ctrl-C in the terminal is the host's business.
SURROUNDINGS: Any = {"env": ENVIRONMENT, "cwd": "/", "start_new_session": True, "stderr": subprocess.PIPE}
SURROUNDINGS |= dict.fromkeys(("stdin", "stdout"), subprocess.DEVNULL)
START_SECONDS = 30.0
HANDSHAKE_SECONDS = 5.0
MAX_DUMP = 1 << 16
"""Longest stack dump that the host reads, in characters."""
BUSY = [-1]
"""Place of a process that does not wait."""
GRACE_SECONDS = 1.0
"""From the soft time limit, which the program sees as an exception, to the kill."""


class Overdue(Exception):
    """The child did not answer in time."""


class Child:
    """One child process and the host's end of its channel.

    Attributes:
        deadline: When (on the monotonic clock) the worker must have answered.
        late: True once the soft time limit was reached; before the first program there is no soft one.
        used: True once it was sent a program.
        bridge: The state of the dialogue with the worker.
        measures: The measures in force in it: pairs of measure and state.
    """

    def __init__(self, limits: ExecutionLimits) -> None:
        ours, theirs = socket.socketpair()
        paths = sorted({str(Path(module.__file__ or "").parents[1]) for module in (np, PIL)})
        start = json.dumps([theirs.fileno(), str(Path(__file__).parent), paths, limits.model_dump()])
        command = [sys.executable, "-s", "-P", "-S", "-B", "-c", BOOT, start]
        try:
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], **SURROUNDINGS)
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
        self.used, self.late, self.deadline = False, True, 0.0
        self.bridge = Bridge(limits)
        self.measures: list[tuple[str, str]] = []
        self._idle = ""
        """The stack of a worker that waits for a program."""
        self.place = BUSY
        """Where the kernel sees such a worker; empty if the host may not ask."""
        self._memory = limits.memory_mb << 20

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
        except (Overdue, EOFError, OSError, Violation) as error:
            lines = self.errors().strip().splitlines()
            reason = lines[-1] if lines else f"no answer ({type(error).__name__})"
            raise SandboxError(f"the experiment process did not start: {reason}; choose another sandbox") from error
        if reached := header["possible"]:
            raise SandboxError(f"the kernel does not confine experiments here: {', '.join(reached)} was possible")
        while " in hear\n" not in self._idle or self.place == BUSY:
            self.resume()
            self._idle, self.place = self.stack(), self._stopped()
            if time.monotonic() > self.deadline:
                raise SandboxError("the experiment process did not start: it does not write its stack; try again")
        self._memory += self._size()
        self.measures = [(name, state) for name, state in header["measures"]]

    def send(self, frame: bytes) -> None:
        """Sends a frame."""
        self._socket.settimeout(max(self.deadline - time.monotonic(), 0) + GRACE_SECONDS)
        try:
            self._socket.sendall(frame)
        except TimeoutError:
            raise Overdue from None

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
                    raise Overdue from None
                self.late = True
                self.deadline += GRACE_SECONDS
                self._process.send_signal(signal.SIGALRM)
                continue
            if not got:
                raise EOFError
            view = view[got:]
        return data

    def pause(self) -> None:
        """Stops the process between programs and during calls, so that no program computes while its time stands."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets the process continue."""
        self._process.send_signal(signal.SIGCONT)

    def is_at_rest(self) -> bool:
        """Returns whether the worker waits for a program, with nothing of the last one on its stack or in the channel.

        A program can report its own end, continue, and answer the next program's frames. It can also write the stack of
        a waiting worker itself, while it blocks the signal; so the kernel is asked too. Leaves the process stopped.

        On a busy machine a worker may wait for a processor for seconds: that time does not count, up to a limit. A
        program that computes on, or sleeps anywhere else, is not at rest.
        """
        start, cpu = time.monotonic(), self.cpu_seconds()
        while True:
            stack, starved = self.stack(self._idle), self._fields("stat")[:1] == ["R"]
            if stack == self._idle and self._waits() and not self.errors():
                break
            late = time.monotonic() - start > (START_SECONDS if starved else 2 * GRACE_SECONDS)
            if '"experiment ' in stack or late or self.cpu_seconds() - cpu > GRACE_SECONDS:
                return False
            self.resume()
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def _stopped(self) -> list[int]:
        """Stops the process, and returns where the kernel sees it, as far as the host may ask that.

        `BUSY` if SIGUSR2 (bit 11) is blocked, pending or being answered, or the process waits for nothing.
        """
        self.pause()
        folder = Path(f"/proc/{self._process.pid}")
        try:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if re.search(r"(?m)^S(?:igBlk|igPnd|hdPnd):\s\w*[89a-f]\w\w$", (folder / "status").read_text()):
                return BUSY
            call = _read_as_owner(folder / "syscall").split()
        except OSError:
            return []
        return [int(part, 16) for part in (*call[:2], call[-1], call[-2])] if len(call) > 3 else BUSY

    def _waits(self) -> bool:
        """Returns whether the process is where a waiting worker is: in the same call, no deeper on its stack."""
        place = self._stopped()
        return place[:3] == self.place[:3] and place[3:] >= self.place[3:]

    def memory_left(self) -> int:
        """Returns the bytes of address space that are left for programs."""
        return self._memory - self._size()

    def _size(self) -> int:
        return sum(map(int, self._fields("statm")[:1])) * os.sysconf("SC_PAGE_SIZE")

    def _fields(self, name: str) -> list[str]:
        """Returns the fields of the process's file in `/proc`, those of `stat` from its state on."""
        try:
            return Path(f"/proc/{self._process.pid}/{name}").read_text().rpartition(")")[2].split()
        except OSError:  # The process has ended, or `/proc` is hidden.
            return []

    def allow(self, seconds: float) -> None:
        """Sets the time until the process must answer."""
        self.late = False
        self.deadline = time.monotonic() + seconds

    def cpu_seconds(self) -> float:
        """Returns the processor time that the process has used, 0 if it has ended."""
        try:
            return time.clock_gettime((~self._process.pid << 3) | 2)  # The clock id of another process.
        except OSError:
            return 0.0

    def stack(self, expected: str | None = None) -> str:
        """Returns the stack of the process, also while it is inside of a C function.

        Args:
            expected: The stack of a waiting worker: its last line, which each stack has, ends the reading at once.
        """
        self.errors()  # Forgotten: a program that filled the pipe would block the dump.
        self._process.send_signal(signal.SIGUSR2)
        text, poll = "", select.poll()
        poll.register(self._errors, select.POLLIN)
        while len(text) < MAX_DUMP and not (expected and text.endswith(expected.splitlines(keepends=True)[-1])):
            # On a busy machine the process may pause inside of a dump.
            if not poll.poll(500 if str(expected).startswith(text) else 20) or not (more := self.errors()):
                break
            text += more
        return text

    def errors(self) -> str:
        """Returns the standard error since the last call, at most 64 KiB."""
        return (self._errors.read(1 << 16) or b"").decode("utf-8", "replace")

    def kill(self) -> None:
        """Ends the process and frees everything."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
        self._errors.close()

    def cause_of_end(self) -> str:
        """Returns why the channel of this process is closed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        causes = {-number: f"signal {number.name}" for number in signal.Signals} | {None: "it closed its channel"}
        return causes.get(self._process.poll(), f"exit status {self._process.returncode}")


class Pool:
    """The workers of one sandbox: those in use and the spare one. Knows nothing of the sandbox, so it can outlive it.

    Workers are started by a thread that lives as long as the host: the kernel kills a worker when the thread that
    started it ends.
    """

    def __init__(self, limits: ExecutionLimits) -> None:
        self._limits = limits
        self._children: list[Child] = []
        self._spare: Future[Child] | None = None

    def start(self) -> None:
        """Starts a spare worker in the background, unless there is one."""
        if self._spare is None:
            self._spare = _starter(os.getpid()).submit(Child, self._limits)

    def take(self) -> Child:
        """Returns the spare worker, or a new one."""
        self.start()
        spare, self._spare = self._spare, None
        assert spare is not None
        self._children.append(spare.result())
        return self._children[-1]

    def discard(self, child: Child) -> None:
        """Ends a worker."""
        self._children.remove(child)
        child.kill()

    def close(self) -> None:
        """Ends all workers."""
        if self._spare is not None:
            with contextlib.suppress(SandboxError):
                self.take()
        while self._children:
            self._children.pop().kill()


def _read_as_owner(path: Path) -> str:
    """Returns the text of a file of another user's process; this thread alone takes that user's rights for it.

    So a host of root that may not trace processes, as in most containers, sees where its worker waits.
    """
    owner, libc = path.parent.stat(), ctypes.CDLL(None)
    libc.setfsgid(owner.st_gid)
    libc.setfsuid(owner.st_uid)
    try:
        return path.read_text()
    finally:
        libc.setfsuid(os.geteuid())
        libc.setfsgid(os.getegid())


@cache
def _starter(pid: int) -> ThreadPoolExecutor:
    """Returns the starting thread of the process `pid`, which is this one: a forked host gets its own."""
    return ThreadPoolExecutor(1, thread_name_prefix="maia-sandbox", initializer=repeat_addresses)
