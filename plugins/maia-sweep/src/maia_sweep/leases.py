"""Leases: files by which several drivers of one sweep share its units, so that no unit runs twice at a time.

A lease is a file `UNIT.GENERATION` that one driver has made with O_EXCL, and touches as long as it lives. A lease that
nobody has touched for a while has expired. Whoever makes the next generation has taken the unit over, which needs no
lock and no rename, and so works on shared file systems too.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from maia_core.plugin import RecordError, open_plain
from maia_runs import folder_name

LEASES = "leases"
"""Folder of the leases in the folder of a sweep."""

SECONDS = 120.0
"""Time without a touch after which a lease has expired."""

MAX_BYTES = 1 << 16
"""Bytes of a lease that are read."""

TOUCHES = 4
"""Touches in this time."""


class Lease(NamedTuple):
    """One driver's hold on a unit.

    Attributes:
        unit: Reference of the unit.
        owner: Name of the driver: host, process and a random part.
        taken: When it was taken, in seconds since 1970.
        age: Seconds since the driver touched it.
        expired: Whether another driver may take the unit over.
    """

    unit: str
    owner: str
    taken: float
    age: float
    expired: bool


class Leases:
    """The units that this driver holds in the folder of a sweep. Threads may share it.

    Entering it starts a thread that touches the leases; leaving it gives all of them back.

    Attributes:
        folder: Holds the files.
        owner: Name of this driver.
    """

    def __init__(self, sweep: Path, seconds: float = SECONDS) -> None:
        """Opens the leases of a sweep; makes their folder.

        Args:
            sweep: The folder of the sweep.
            seconds: Time without a touch after which a lease has expired; the same for all drivers of a folder.

        Raises:
            RecordError: the folder cannot be written.
        """
        self.folder = sweep / LEASES
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._seconds = seconds
        self._held: dict[str, Path] = {}
        self._lock, self._closed = threading.RLock(), threading.Event()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"cannot write {self.folder}: {error.strerror}; choose another with --out") from error

    def __enter__(self) -> Leases:
        threading.Thread(target=self._touch_all, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        for unit in list(self._held):
            self.release(unit)

    def take(self, unit: str) -> bool:
        """Takes a unit; returns False where another driver holds it.

        The unit may have ended since the caller looked last: look again when it is taken.

        Raises:
            RecordError: the folder cannot be written, as where the disk is full.
        """
        with self._lock:
            if unit in self._held:
                return True
            name = folder_name(unit)
            generations = self._generations(name)
            if generations and not _lease(self._path(name, generations[-1]), self._now(), self._seconds).expired:
                return False
            mine = generations[-1] + 1 if generations else 0
            path = self._path(name, mine)
            try:
                if not self._create(path, unit):
                    return False
                if self._generations(name)[-1:] != [mine]:  # Others took and lost it while this process was stopped.
                    path.unlink(missing_ok=True)
                    return False
            except OSError as error:
                raise RecordError(
                    f"cannot write {path}: {error.strerror}; make room or choose another --out"
                ) from error
            for old in generations:
                with suppress(OSError):
                    self._path(name, old).unlink()
            self._held[unit] = path
            return True

    def release(self, unit: str) -> None:
        """Gives a unit back; does nothing where this driver does not hold it."""
        with self._lock:
            path = self._held.pop(unit, None)
        if path is not None and self._owns(path):
            with suppress(OSError):
                path.unlink()

    def holds(self, unit: str) -> bool:
        """Returns whether this driver still holds a unit: one that was suspended for long may have lost it."""
        with self._lock:
            path = self._held.get(unit)
            if path is not None and self._taken_over(path):
                del self._held[unit]
            return unit in self._held

    def all(self) -> list[Lease]:
        """Returns the leases of all drivers, also those that have expired."""
        return leases_of(self.folder.parent, self._seconds, self._now())

    def _owns(self, path: Path) -> bool:
        """Returns whether a lease is this driver's: after a takeover and a release, another has a file of this name."""
        owner = _lease(path, 0.0, 0.0).owner
        return not owner or owner == self.owner  # One that cannot be read, or was torn, is not another's.

    def _create(self, path: Path, unit: str) -> bool:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"unit": unit, "owner": self.owner, "machine": _machine(), "process": _process(),
                           "taken": time.time()}, file)  # fmt: skip
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return True

    def _now(self) -> float:
        """Returns the time by the clock that stamps the files, which may be another machine's."""
        clock = self.folder / f".clock-{self.owner}"
        try:
            clock.touch()
            return clock.stat().st_mtime
        except OSError as error:
            raise RecordError(f"cannot write {clock}: {error.strerror}; make room or choose another --out") from error
        finally:
            with suppress(OSError):
                clock.unlink()

    def _touch_all(self) -> None:
        while not self._closed.wait(self._seconds / TOUCHES):
            with self._lock:
                for unit, path in list(self._held.items()):
                    with suppress(OSError):  # If the file server does not respond, the lease may expire.
                        if self.holds(unit):
                            os.utime(path)

    def _taken_over(self, path: Path) -> bool:
        """Returns whether the unit of a lease is another driver's by now, as far as the file server responds."""
        try:
            return self._generations(path.stem)[-1:] != [_generation(path)] or not self._owns(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _generations(self, name: str) -> list[int]:
        return sorted(_generation(self.folder / found) for found in self._names() if found.rpartition(".")[0] == name)

    def _names(self) -> Iterator[str]:
        return (found for found in os.listdir(self.folder) if found.rpartition(".")[2].isdecimal())

    def _path(self, name: str, generation: int) -> Path:
        return self.folder / f"{name}.{generation}"


def leases_of(sweep: Path, seconds: float = SECONDS, now: float | None = None) -> list[Lease]:
    """Returns the leases in the folder of a sweep; writes nothing.

    Args:
        sweep: The folder.
        seconds: Time without a touch after which a lease has expired.
        now: The time by the clock of the file system; that of this machine where it is None.
    """
    newest = {}
    for path in sorted((sweep / LEASES).glob("*.*"), key=lambda path: (path.stem, _generation(path))):
        newest[path.stem] = path
    now = time.time() if now is None else now
    return [lease for path in newest.values() if (lease := _lease(path, now, seconds)).unit]


def _lease(path: Path, now: float, seconds: float) -> Lease:
    """Reads a lease; one that is gone, or was torn by a kill, belongs to nobody and expires by its age."""
    try:
        with open_plain(path) as file:
            status, text = os.fstat(file.fileno()), file.read(MAX_BYTES)
    except OSError:
        return Lease("", "", 0.0, 0.0, True)
    unit, owner, taken, dead = "", "", 0.0, False
    try:
        held = json.loads(text)
        dead = held["machine"] == _machine() and not _lives(*held["process"])
        unit, owner, taken = str(held["unit"]), str(held["owner"]), float(held["taken"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        pass
    age = max(0.0, now - status.st_mtime)
    return Lease(unit, owner, taken, age, dead or age > seconds)


def _generation(path: Path) -> int:
    suffix = path.name.rpartition(".")[2]
    return int(suffix) if suffix.isdecimal() else -1


def _machine() -> str:
    """Returns what tells apart the processes that this one can see, such as those of its container."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _process() -> tuple[int, str]:
    return os.getpid(), _started(os.getpid())


def _started(process: int) -> str:
    """Returns when a process started, which tells it from a later one of its number; empty where unknown."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return ""


def _lives(process: int, started: str) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return _started(process) == started
