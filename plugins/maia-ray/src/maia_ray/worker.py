"""A worker of the runner `ray`: an actor that keeps the function, and so the models, from item to item.

Ray sends this module by value, so that a machine without MAIA can report what it lacks: the top of the module
imports the standard library only.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

FAILURES = 3
"""Items that fail one after another until a worker leaves: an engine in it may be dead."""


@dataclass
class Job:
    """What every worker gets once.

    Attributes:
        function: The pickled function.
        versions: Versions of the driver's distributions by name; those that a worker has must be the same.
        required: Names of those that a worker must have.
        token: File that the driver has written into the folder of the results, or None; its text is its name.
        folder: The driver's working folder, which relative paths are in.
        environment: Environment variables to set.
    """

    function: bytes
    versions: dict[str, str]
    required: frozenset[str]
    token: Path | None
    folder: Path
    environment: dict[str, str]


@dataclass(frozen=True)
class Started:
    """What a worker reports when it has started.

    Attributes:
        problem: Why it cannot work, on one line; empty if it can.
        host: Name of its machine.
        process: Its process.
        node: Ray's name of its machine.
        token_auth: Whether its cluster asks for a token.
    """

    problem: str
    host: str
    process: int
    node: str
    token_auth: bool


@dataclass(frozen=True)
class Done:
    """What a worker returns for an item.

    Attributes:
        result: The pickled result: what the function returned, or the error that it raised.
        lost: Whether the item must be done in another worker, as an engine of this one is dead.
        leaves: Whether the driver must replace this worker.
    """

    result: bytes
    lost: bool = False
    leaves: bool = False


class Worker:
    """Keeps the function of a job. Ray runs one method at a time, in the main thread of a process of its own."""

    def __init__(self, job: Job) -> None:
        self._function: Any = None
        self._failures = 0
        # Ray blocks Ctrl-C in its workers; the driver sends it when it stops, so that a run ends as interrupted.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        self._problem = self._prepare(job)

    def start(self) -> Started:
        """Returns what the driver must know of this worker."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        token = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
        return Started(self._problem, socket.gethostname(), os.getpid(), node, token)

    def apply(self, item: bytes) -> Done:
        """Applies the function to a pickled item."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            result = self._function(pickle.loads(item))
        except Exception as error:
            result = error
        except KeyboardInterrupt:
            return Done(b"", lost=True)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A run, or a row of a sweep's table.
        status = getattr(getattr(result, "outcome", result), "status", "")
        failed = isinstance(result, Exception) or status == "failed"
        self._failures = self._failures + 1 if failed else 0
        dead = failed and _accelerator_is_dead()
        return Done(_pickled(result), lost=dead, leaves=dead or self._failures >= FAILURES)

    def _prepare(self, job: Job) -> str:
        """Prepares the process, and returns why it cannot work."""
        if problem := _difference(job):
            return problem
        if job.token is not None:
            try:
                seen = job.token.read_text(encoding="ascii") == job.token.name
            except OSError:
                seen = False
            if not seen:
                return f"it does not see {job.token.parent}; choose a folder that all machines share with --out"
        with suppress(OSError):
            os.chdir(job.folder)
        os.environ.update(job.environment)
        try:
            from maia_cli import process_started

            process_started()
            self._function = pickle.loads(job.function)
        except Exception as error:
            return f"it cannot load the work ({type(error).__name__}: {' '.join(str(error).split())})"
        return ""


def interrupt(process: int) -> None:
    """Sends Ctrl-C to a worker of the same machine."""
    with suppress(OSError):
        os.kill(process, signal.SIGINT)


def _difference(job: Job) -> str:
    """Returns which distribution is missing here or has another version than on the driver's machine."""
    for name, version in job.versions.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name in job.required:
                return f"{name} is not installed on it; run pip install '{name}=={version}' there"
            continue
        if here != version:
            return f"it has {name} {here}, and this machine has {version}; install the same version on both"
    return ""


def _accelerator_is_dead() -> bool:
    """Returns whether an earlier fault has left CUDA unusable in this process, so that every later item would fail."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _pickled(result: Any) -> bytes:
    """Pickles a result; one that cannot be pickled becomes a RunError."""
    from maia_core.plugin import RunError, one_line

    try:
        data = pickle.dumps(result)
        pickle.loads(data)  # An error whose constructor takes more than a message cannot be read again.
    except Exception as error:
        text = one_line(result) if isinstance(result, Exception) else f"its result cannot be pickled: {one_line(error)}"
        data = pickle.dumps(RunError(text))
    return data
