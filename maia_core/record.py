"""The run journal: one folder a run, append-only, images by content hash, readable after a kill.

`run.json` holds what the run is made from and is written once. `journal.jsonl` holds one event a line, written as it
happens. `images/` holds the pixels that events mention: `<id>.png`, and `<id>.mask.png` for a mask.
"""

from __future__ import annotations

import fcntl
import io
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from maia_core import upgrade
from maia_core.errors import RecordError, ToolError
from maia_core.files import write_atomically
from maia_core.text import as_file, dumped
from maia_core.types import (
    Data,
    Execution,
    Exemplar,
    Explanation,
    Image,
    Logged,
    Message,
    Part,
    Reply,
    SystemRef,
    UnitInfo,
    Usage,
    Verdict,
)

E = TypeVar("E")

FORMAT = 2
MAX_BYTES, MAX_LINE = 1 << 30, 32 << 20
"""Largest journal that is read, and its longest line."""
MAX_EVENTS, MAX_VALUES = 200_000, 10_000_000
"""Most events of a journal, and most values in them: a short line may hold many, and each takes a hundred bytes."""
SHARE = 0.8
"""How much of a journal the results of calls may fill; the rest is for how the run goes on without them, and ends."""
MANIFEST = "run.json"
"""File of what a run is made from."""
JOURNAL = "journal.jsonl"
IMAGES = "images"


class Manifest(Data):
    """What a run is made from: enough to make it again."""

    format: int = FORMAT
    id: str
    created: float
    """Seconds since the epoch."""
    config: dict[str, JsonValue]
    seed: int
    system: UnitInfo
    versions: dict[str, str]
    """Distribution to version, of Python, the core and every plugin's distribution."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Part of the run to its fingerprint."""
    signature: str = ""
    """Shows that `config` was written on this machine, see `maia_core.signature`."""


class MessageAdded(Data):
    """A system or user message joined the conversation."""

    event: Literal["message"] = "message"
    message: Message


class Asked(Data):
    """The backbone is asked for a reply: what of the conversation it is sent, see `maia_core.context_policy`.

    Attributes:
        images: How many images are sent.
        tokens: About how many tokens, corrected by what the backbone reported of the call before.
        images_left_out: Which images of the conversation are not, by their number in it, from 0.
        messages_left_out: How many messages after the task are not.
        max_images: Most images that the policy and the backbone allow.
        max_tokens: Most tokens; None where no limit is known.
        image_tokens: What one image was taken to count.
        because: Why it is asked again with less; empty at first.
    """

    event: Literal["asked"] = "asked"
    turn: int
    images: int = 0
    tokens: int = 0
    images_left_out: tuple[int, ...] = ()
    messages_left_out: int = 0
    max_images: int
    max_tokens: int | None = None
    image_tokens: int = 0
    because: str = ""


class Replied(Data):
    """The backbone answered.

    Attributes:
        turn: Which turn this begins.
        reply: What it said, and what it used.
        seconds: How long it took.
        engines: What engines used meanwhile, such as the describer of a backbone that sees no images.
    """

    event: Literal["reply"] = "reply"
    turn: int
    reply: Reply
    seconds: float = 0.0
    engines: Usage = Usage()


class ProgramStarted(Data):
    """A program was taken to the sandbox."""

    event: Literal["program"] = "program"
    turn: int
    program: str
    hypotheses: tuple[str, ...] = ()


class Effects(BaseModel):
    """What a call does to the run beside returning a result: filled during the call, then applied to the run once.

    Attributes:
        shown: Texts and images for the backbone.
        logged: Measured conditions.
        kept: Exemplars that stay in the conversation the longest, the most important first.
        facts: What is now known about the unit, by name, see `maia_core.protocols.RunContext.facts`.
        generated: How many images were generated or edited.
        usage: Tokens and money that engines used, such as a describer that is a paid service.
    """

    model_config = ConfigDict(extra="forbid")

    shown: list[Part] = Field(default_factory=list)
    logged: list[Logged] = Field(default_factory=list)
    kept: list[Exemplar] = Field(default_factory=list)
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    generated: int = 0
    usage: Usage = Usage()

    def add(self, other: Effects) -> None:
        """Adds later effects to these."""
        self.shown += other.shown
        self.logged += other.logged
        self.kept = other.kept or self.kept
        self.facts |= other.facts
        self.generated += other.generated
        self.usage += other.usage


class HostCall(Data):
    """A program called `system` or a tool.

    Attributes:
        order: Number of the call in its turn, from 0.
        method: Such as `tools.text2image`.
        arguments_hash: Content hash of the arguments: a replay that differs is noticed.
        arguments: The arguments, images by reference.
        result: What came back, images by reference.
        error: What the program was told instead of a result.
        effects: What the call did to the run beside returning a result.
        images: The handles behind the references in `arguments` and `result`; not written, their pixels are.
        seconds: How long it took.
    """

    event: Literal["call"] = "call"
    turn: int
    order: int
    method: str
    arguments_hash: str
    arguments: JsonValue = None
    result: JsonValue = None
    error: str = ""
    effects: Effects = Field(default_factory=Effects)
    seconds: float = 0.0
    images: tuple[Image, ...] = Field(default=(), exclude=True, repr=False)


class Executed(Data):
    """A program has ended."""

    event: Literal["execution"] = "execution"
    turn: int
    execution: Execution


class Verified(Data):
    """An answer was tested on fresh inputs."""

    event: Literal["verified"] = "verified"
    turn: int
    verdict: Verdict
    usage: Usage = Usage()
    seconds: float = 0.0


class Noted(Data):
    """A line that a reader must know: skipped files, a failing observer, a fallback."""

    event: Literal["note"] = "note"
    text: str


Status = Literal["answered", "stopped", "failed", "interrupted"]


class RunOutcome(Data):
    """How a run ended.

    Attributes:
        status: `answered`; `stopped` at a limit without an answer; `failed`; `interrupted` by the user.
        reason: Why, in one line; names the limit where one was reached.
        answer: The validated answer of the task.
        explanation: The answer in the common form.
        verdict: What fresh inputs say about it; None where it was not tested.
    """

    event: Literal["outcome"] = "outcome"
    status: Status
    reason: str = ""
    answer: dict[str, JsonValue] = Field(default_factory=dict)
    explanation: Explanation | None = None
    verdict: Verdict | None = None
    turns: int = 0
    usage: Usage = Usage()
    seconds: float = 0.0


Event = MessageAdded | Asked | Replied | ProgramStarted | HostCall | Executed | Verified | Noted | RunOutcome
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


class ImageStore:
    """The pixels of a run, by content hash. Images of a run folder are read with every size checked."""

    MAX_PIXELS = 64_000_000
    """Largest image that is read; no data set decodes a larger one."""
    _NAME = re.compile(r"[0-9a-f]{32}")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saved: set[str] = set()

    def save(self, image: Image) -> None:
        """Writes an image (and the clean one below a mask) unless it is there already."""
        if image.clean is not None:
            self.save(image.clean)
        if image.id in self._saved:
            return
        path = self._path(image.id, image.clean is not None)
        if not path.exists():
            mask = image.mask()
            pil = PILImage.fromarray(image.pixels()) if mask is None else PILImage.fromarray(mask)
            buffer = io.BytesIO()
            pil.save(buffer, "PNG", compress_level=1)
            write_atomically(path, buffer.getvalue())
        self._saved.add(image.id)

    def load(self, image_id: str, masked: bool, width: int, height: int) -> NDArray[Any]:
        """Reads pixels, uint8 (height, width, 3), or a mask, bool (height, width).

        Raises:
            RecordError: the file is missing, is a link, is no PNG or has not the size that the record says.
        """
        path = self._path(image_id, masked)
        try:
            if path.is_symlink() or path.parent.is_symlink() or (path.exists() and not path.is_file()):
                raise RecordError(f"{path} is a link or no file; a run folder holds plain files only")
            with PILImage.open(path, formats=["PNG"]) as file:
                if file.size != (width, height):
                    raise RecordError(f"{path} has {file.width}x{file.height} pixels; its record says {width}x{height}")
                if width * height > self.MAX_PIXELS:
                    raise RecordError(f"{path} has {width}x{height} pixels; at most {self.MAX_PIXELS:,} are read")
                return np.asarray(file.convert("1" if masked else "RGB"))
        except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError) as error:
            raise RecordError(f"image {image_id} of the run cannot be read: {error}") from error

    def _path(self, image_id: str, masked: bool) -> Path:
        if not self._NAME.fullmatch(image_id):
            raise RecordError(f"'{image_id[:40]}' is no image id")
        return self.folder / (f"{image_id}.mask.png" if masked else f"{image_id}.png")


class _Measure:
    """Counts a journal's lines against what is read of one, so that what is written can be read."""

    def __init__(self) -> None:
        self._events = self._values = self._bytes = 0

    def takes(self, line: bytes, share: float = 1.0) -> bool:
        """Tells whether a line still fits into this share of a journal, and counts it if so."""
        events, size = self._events + 1, self._bytes + len(line)
        values = self._values + sum(map(line.count, b"[{,"))
        used = max(events / MAX_EVENTS, size / MAX_BYTES, values / MAX_VALUES)
        if len(line) >= MAX_LINE or used > share:
            return False
        self._events, self._values, self._bytes = events, values, size
        return True


class RunWriter:
    """Writes a run folder: `create` a new one, or `reopen` one that goes on.

    Every event is handed to the operating system when `append` returns, so a kill loses none.

    Attributes:
        folder: The run folder.
        images: Its pixels.
        seconds: Time spent in recording.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = ImageStore(folder / IMAGES)
        self.seconds = 0.0
        self._measure = _Measure()
        self._journal = open(folder / JOURNAL, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._journal.close()
            raise RecordError(f"another process is writing the run {folder}; wait for it or stop it") from error

    @classmethod
    def create(cls, folder: Path, manifest: Manifest) -> RunWriter:
        """Makes a run folder.

        Raises:
            RecordError: it exists and is not empty, or cannot be written.
        """
        try:
            if folder.is_dir() and not all(map(_begun_only, folder.iterdir())):
                raise RecordError(f"the run folder {folder} exists already; choose another with --out")
            (folder / IMAGES).mkdir(parents=True, exist_ok=True)
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
            if linked := [name for name in (IMAGES, JOURNAL) if (folder / name).is_symlink()]:
                raise RecordError(f"{folder / linked[0]} is a link; a run folder holds plain files and folders only")
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
            ToolError: a call's result is longer than a record may be. Nothing of it was written.
            RecordError: the disk is full or the folder is gone, or the record has become as long as it may be.
        """
        started = time.perf_counter()
        try:
            line = (dumped({"time": round(time.time(), 3)} | event.model_dump(mode="json")) + "\n").encode()
            result = isinstance(event, HostCall) and not event.error
            if not self._measure.takes(line, SHARE if result else 1.0):
                if result:
                    raise ToolError(f"the run's record has no room for {len(line):,} bytes more; ask for less at once")
                raise RecordError(f"the record {self.folder} has become as long as a record may be")
            for image in images_of(event):
                self.images.save(image)
            self._write(line)
        except OSError as error:
            raise RecordError(
                f"cannot write the record {self.folder}: {error.strerror}; it is complete up to the last event"
            ) from error
        finally:
            self.seconds += time.perf_counter() - started

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
    """

    def __init__(self, folder: Path) -> None:
        """Reads the manifest and the journal.

        Raises:
            RecordError: this is no run folder, or what it holds is not what a run folder must hold.
        """
        self.folder = folder
        self.images = ImageStore(folder / IMAGES)
        with _plain(folder / MANIFEST) as file:
            self.manifest = _parse_manifest(file.read(MAX_LINE >> 3), str(folder / MANIFEST))
        self._upgrade = upgrade.Events() if self.manifest.format == 1 else None
        self.events: list[Event] = list(self._read())

    def _read(self) -> Iterator[Event]:
        measure = _Measure()
        with _plain(self.folder / JOURNAL) as file:
            for number, line in enumerate(iter(partial(file.readline, MAX_LINE), b""), 1):
                if not measure.takes(line):
                    raise RecordError(f"{file.name}, line {number}: more than a journal may hold")
                if not line.endswith(b"\n"):
                    return  # Torn by a kill.
                try:
                    data = json.loads(line)
                    data.pop("time", None)
                    if self._upgrade is not None:
                        self._upgrade(data)
                    yield _EVENT.validate_python(data, context={"images": self.images})
                except (ValueError, AttributeError, RecursionError) as error:
                    raise RecordError(f"{file.name}, line {number}: not an event: {str(error)[:200]}") from error

    def of_type(self, kind: type[E]) -> list[E]:
        """Returns the events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def outcome(self) -> RunOutcome | None:
        """How the run ended; None for a run that was killed or still runs, or went on after it had failed."""
        last = next((event for event in reversed(self.events) if not isinstance(event, Noted)), None)
        return last if isinstance(last, RunOutcome) else None

    @cached_property
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
        except ValueError as error:
            raise RecordError(f"{self.folder}: a recorded value is damaged: {str(error)[:200]}") from error


def _parse_manifest(text: bytes, name: str) -> Manifest:
    try:
        data = json.loads(text)
        written = data.get("format")
        if written not in (1, FORMAT):
            raise RecordError(f"{name} has record format {written}; this MAIA reads 1 to {FORMAT}; upgrade maia-core")
        return Manifest.model_validate(upgrade.manifest(data) if written == 1 else data)
    except (ValueError, AttributeError, RecursionError) as error:
        raise RecordError(f"cannot read {name}: it is not a run's manifest: {str(error)[:200]}") from error


def _begun_only(path: Path) -> bool:
    """Tells whether this is what a kill leaves of a run folder that was just being made."""
    if path.name == IMAGES:
        return path.is_dir() and not any(path.iterdir())
    return (path.name == JOURNAL and path.stat().st_size == 0) or path.name.startswith(f".{MANIFEST}.")


def _plain(path: Path) -> BinaryIO:
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise RecordError(f"{path} is a link or no plain file; a run folder holds plain files only")
        if path.stat().st_size > MAX_BYTES:
            raise RecordError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
        return path.open("rb")
    except OSError as error:
        raise RecordError(f"{path.parent} is no run folder: cannot read {path.name}: {error.strerror}") from error


def images_of(value: Any) -> Iterator[Image]:
    """Yields every image handle inside an event or a value."""
    if isinstance(value, Image):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from images_of(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from images_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from images_of(item)


def to_json(value: Any) -> JsonValue:
    """Encodes a value of a host call: images by reference, tuples and non-finite floats so that they come back."""
    if isinstance(value, Image):
        return {"$image": value.model_dump(mode="json", exclude_defaults=True)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, SystemRef):
        return {"$text": "system"}
    if isinstance(value, tuple):
        return {"$tuple": [to_json(item) for item in value]}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {"$" + key if str(key).startswith("$") else str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return to_json(value.item())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return {"$text": str(value)}


def from_json(data: JsonValue, store: ImageStore) -> Any:
    """Decodes what `to_json` encoded; image handles load their pixels from `store`."""
    if isinstance(data, list):
        return [from_json(item, store) for item in data]
    if not isinstance(data, dict):
        return data
    match list(data.items()):
        case [("$image", image)]:
            return Image.model_validate(image, context={"images": store})
        case [("$float", str(text))]:
            return float(text)
        case [("$tuple", list(items))]:
            return tuple(from_json(item, store) for item in items)
        case [("$text", str(text))]:
            return text
    return {key.removeprefix("$"): from_json(item, store) for key, item in data.items()}


def new_run_id() -> str:
    """Returns a name for a run folder that sorts by time."""
    return time.strftime("%Y%m%d-%H%M%S-") + os.urandom(2).hex()
