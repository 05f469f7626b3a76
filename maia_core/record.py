"""A run folder: append-only, readable after a kill.

`run.json` holds the manifest and is written once. `journal.jsonl` holds one event per line, written as it happens.
`images/` holds the pixels that events mention: `<id>.png`, and `<id>.mask.png` for a mask.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import JsonValue

from maia_core import upgrade
from maia_core.codec import from_json, images_of
from maia_core.config import validated
from maia_core.errors import MaiaError, RecordError, RunInUse, ToolError, one_line
from maia_core.events import EVENT, FORMAT, Effects, Event, HostCall, Manifest, Noted, RunOutcome
from maia_core.files import open_plain, plain_folder, write_atomically
from maia_core.image_store import ImageStore
from maia_core.text import as_file, dumped

E = TypeVar("E")

MAX_BYTES, MAX_LINE = 1 << 30, 32 << 20
"""Largest journal that is read, and its longest line."""
MAX_EVENTS, MAX_VALUES = 200_000, 10_000_000
"""Most events of a journal, and most values in them: a short line may hold many, and each takes a hundred bytes."""
SHARE = 0.8
"""Part of a journal that the calls of programs may fill; the rest is for the end of the run."""
SHORT = 2000
"""Longest line of a refused call that does not count towards this part; a program makes few thousand calls."""
MANIFEST = "run.json"
"""File in a run folder that says what the run is made from."""
JOURNAL = "journal.jsonl"
"""File of the run's events, a line each."""
IMAGES = "images"
"""Folder of the run's pixels."""


class _Measure:
    """Counts a journal's lines against what is read of one, so that what is written can be read."""

    def __init__(self) -> None:
        self._events = self._values = self._bytes = 0
        self.share = 0.0

    def takes(self, line: bytes, share: float = 1.0) -> bool:
        """Tells whether a line still fits into this share of a journal, and counts it if so."""
        events, size = self._events + 1, self._bytes + len(line)
        values = self._values + sum(map(line.count, b"[{,"))
        used = max(events / MAX_EVENTS, size / MAX_BYTES, values / MAX_VALUES)
        if len(line) >= MAX_LINE or used > share:
            return False
        self._events, self._values, self._bytes, self.share = events, values, size, used
        return True


def check_new(folder: Path) -> None:
    """Checks that a run folder can be created, and creates nothing.

    Raises:
        RecordError: it exists and is not empty, or cannot be written.
    """
    if folder.is_dir() and not all(map(_begun_only, folder.iterdir())):
        raise RecordError(f"the run folder {folder} exists already; choose another with --out")
    there = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise RecordError(f"cannot write the run folder {folder}: {there} is a file or read-only; choose another")


class RunWriter:
    """Writes a run folder: `create` a new one, or `reopen` one that goes on.

    Every event is handed to the operating system when `append` returns, so a kill loses none.

    Attributes:
        folder: The run folder.
        images: Its pixels.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = ImageStore(folder / IMAGES)
        plain_folder(folder / IMAGES)
        self.images.take_stock()
        self._measure = _Measure()
        self._journal = open_plain(folder / JOURNAL, "ab")
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._journal.close()
            raise RunInUse(f"another process is writing the run {folder}; wait for it or stop it") from error

    @classmethod
    def create(cls, folder: Path, manifest: Manifest) -> RunWriter:
        """Makes a run folder.

        Raises:
            RecordError: it exists and is not empty, or cannot be written.
        """
        check_new(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writer = cls(folder)
            # Last, so that a folder with a manifest is a run that can go on.
            write_atomically(folder / MANIFEST, as_file(manifest))
            return writer
        except OSError as error:
            raise RecordError(
                f"cannot write the run folder {folder}: {error.strerror}; make room or choose another with --out"
            ) from error

    @classmethod
    def reopen(cls, folder: Path) -> RunWriter:
        """Opens the folder of a run that goes on, and takes off a line that a kill has torn.

        Raises:
            RecordError: it cannot be written, or another process writes it.
        """
        try:
            writer = cls(folder)
            path = folder / JOURNAL
            written = path.read_bytes()
            whole = written[: written.rfind(b"\n") + 1]
            os.truncate(path, len(whole))
            for line in whole.splitlines(keepends=True):
                writer._measure.takes(line)
            return writer
        except OSError as error:
            raise RecordError(f"cannot write the run folder {folder}: {error.strerror}") from error

    def append(self, event: Event) -> None:
        """Writes the images of an event, then the event.

        Raises:
            ToolError: the record has no room for a call, or for its images. Nothing of it was written.
            RecordError: the disk is full or the folder is gone, or the record has become as long as it may be.
        """
        try:
            line = (dumped({"time": round(time.time(), 3)} | event.model_dump(mode="json")) + "\n").encode()
            call = isinstance(event, HostCall) and not (event.error and len(line) <= SHORT)
            images = list(images_of(event))
            if call:
                self.images.check_room(images)
            if not self._measure.takes(line, SHARE if call else 1.0):
                if call:
                    raise ToolError(f"the run's record has no room for {len(line):,} bytes more; ask for less at once")
                raise RecordError(f"the record {self.folder} has become as long as a record may be")
            for image in images:
                self.images.save(image)
            self._write(line)
        except OSError as error:
            raise RecordError(
                f"cannot write the record {self.folder}: {error.strerror}; it is complete up to the last event"
            ) from error

    def _write(self, line: bytes) -> None:
        """Writes a whole line or nothing: a disk that fills up takes the first part of it."""
        whole = os.fstat(self._journal.fileno()).st_size
        try:
            while line:
                line = line[self._journal.write(line) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._journal.fileno(), whole)
            raise

    @property
    def full(self) -> bool:
        """True if the calls of programs have used up their part of the record."""
        return self._measure.share >= SHARE

    def close(self) -> None:
        """Closes the journal."""
        if not self._journal.closed:
            # A child process that is just being started may still hold the file: closing alone would not unlock it.
            fcntl.flock(self._journal, fcntl.LOCK_UN)
            self._journal.close()


class RunReader:
    """Reads a run folder, also one that was killed or comes from elsewhere: nothing in it is trusted.

    Attributes:
        folder: The run folder.
        manifest: What the run was made from.
        events: The journal; a torn last line is left out.
        end: Offset in the journal behind the last event read, in bytes.
    """

    def __init__(self, folder: Path, start: int = 0, stop: int = MAX_BYTES) -> None:
        """Reads the manifest and the journal.

        Args:
            folder: The run folder.
            start: Offset in the journal of the first event to read, in bytes: the `end` of an earlier reader; or a
                negative number, for the events that begin within so many last bytes.
            stop: Offset at which reading stops; an event that begins before it is read.

        Raises:
            RecordError: this is not a run folder, or what it holds is not what a run folder must hold.
        """
        self.folder = folder
        self.images = ImageStore(folder / IMAGES)
        with _plain(folder / MANIFEST) as file:
            self.manifest = _parse_manifest(file.read(MAX_LINE >> 3), str(folder / MANIFEST))
        self._upgrade = upgrade.Events() if self.manifest.format == 1 else None
        self._measure, self.end, self._stop = _Measure(), start, stop
        self.events: list[Event] = []
        self.read_on()

    def read_on(self) -> list[Event]:
        """Reads the events that were written since the last reading, appends them to `events` and returns them."""
        known = len(self.events)
        self.events.extend(self._read())
        return self.events[known:]

    def _read(self) -> Iterator[Event]:
        with _plain(path := self.folder / JOURNAL) as file:
            if self.end < 0:
                self.end = file.seek(max(0, file.seek(0, os.SEEK_END) + self.end - 1))
                self.end += len(file.readline(MAX_LINE)) if self.end else 0
            file.seek(self.end)
            for line in iter(partial(file.readline, MAX_LINE), b""):
                if self.end >= self._stop or (not line.endswith(b"\n") and len(line) < MAX_LINE):
                    return  # The second was torn by a kill, or is still being written.
                if not self._measure.takes(line):
                    raise RecordError(f"{path}, byte {self.end}: more than a journal may hold")
                try:
                    (data := json.loads(line)).pop("time", None)
                    if self._upgrade is not None:
                        self._upgrade(data)
                    event = EVENT.validate_python(data, context={"images": self.images})
                except Exception as error:  # Values of any type may stand anywhere.
                    raise RecordError(f"{path}, byte {self.end}: not an event of a run") from error
                self.end += len(line)
                yield event

    def of_type(self, kind: type[E]) -> list[E]:
        """Returns the events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def outcome(self) -> RunOutcome | None:
        """How the run ended; None for a run that was killed or still runs, or was resumed after it had failed."""
        last = next((event for event in reversed(self.events) if not isinstance(event, Noted)), None)
        return last if isinstance(last, RunOutcome) else None

    @property
    def ended(self) -> RunOutcome | None:
        """How the run ended for good; None for a run that can be resumed."""
        outcome = self.outcome
        return outcome if outcome and outcome.status in ("answered", "stopped") else None

    @property
    def effects(self) -> Effects:
        """What all calls of programs did to the run: what they showed, logged and found out, and what they used."""
        total = Effects()
        for call in self.of_type(HostCall):
            total.add(call.effects)
        return total

    def value(self, data: JsonValue) -> Any:
        """Turns the recorded arguments or result of a host call back into values, images bound to this folder."""
        try:
            return from_json(data, self.images)
        except Exception as error:
            raise RecordError(f"{self.folder}: a recorded value is damaged") from error


def _parse_manifest(text: bytes, name: str) -> Manifest:
    try:
        data = json.loads(text)
        if (written := data["format"]) not in (1, FORMAT):
            stated = json.dumps(written)[:20]
            raise RecordError(f"{name}: record format {stated}; MAIA reads 1 to {FORMAT}; upgrade maia-core")
        return validated(Manifest, upgrade.manifest(data) if written == 1 else data, f"cannot read {name}")
    except MaiaError as error:
        raise RecordError(one_line(error)[:300]) from error
    except Exception as error:  # Values of any type may stand anywhere.
        raise RecordError(f"cannot read {name}: it is not a run's manifest; restore it or remove the folder") from error


def _begun_only(path: Path) -> bool:
    """Tells whether this is what a kill leaves of a run folder that was just being made."""
    if path.name == IMAGES:
        return path.is_dir() and not any(path.iterdir())
    return (path.name == JOURNAL and path.stat().st_size == 0) or path.name.startswith(f".{MANIFEST}.")


def _plain(path: Path) -> BinaryIO:
    try:
        file = open_plain(path)
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise RecordError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
        return file
    except OSError as error:
        raise RecordError(f"{path.parent} is not a run folder: cannot read {path.name}: {error.strerror}") from error
