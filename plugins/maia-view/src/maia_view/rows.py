"""What the list of runs shows of one run, read from its manifest and the end of its journal alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from maia_core.plugin import FORMAT, JOURNAL, MANIFEST, open_plain, redacted

BLOCK, MAX_TAIL = 1 << 16, 32 << 20
"""Bytes that are read from the end of a journal at first, and at most."""

MAX_MANIFEST = 4 << 20

FRESH = 60.0
"""A run without an end whose journal was written within this many seconds counts as running."""


@dataclass(frozen=True)
class RunRow:
    """One run in the list.

    Attributes:
        key: The run's name in addresses.
        name: Its path below the folder that the user named.
        model: The model of its unit.
        layer: The unit's layer.
        unit: The unit.
        backbone: Name of the backbone.
        verify: Whether the run tests its answer.
        created: Seconds since the epoch.
        status: `running`, `unfinished`, `unreadable`, or how the run ended.
        labels: The labels of the answer.
        verdict: `verified`, `partly verified`, `not verified` or empty.
        fit: How well the answer predicts fresh images, from -1 to 1; None where that is not known.
        cost: US dollars; None where it is not known.
        tokens: Tokens of the backbone.
        turns: Replies of the backbone.
        seconds: Wall time.
        problem: Why the run cannot be read.
    """

    key: str
    name: str
    model: str = ""
    layer: str = ""
    unit: str = ""
    backbone: str = ""
    verify: bool = False
    created: float = 0.0
    status: str = "unreadable"
    labels: tuple[str, ...] = ()
    verdict: str = ""
    fit: float | None = None
    cost: float | None = None
    tokens: int = 0
    turns: int = 0
    seconds: float = 0.0
    problem: str = ""

    @property
    def ref(self) -> str:
        """`model:layer:unit`, the spelling that the command line takes."""
        return ":".join(part for part in (self.model, self.layer, self.unit) if part) or "a unit"

    @property
    def label(self) -> str:
        """The labels in one line."""
        return " or ".join(self.labels)

    @property
    def text(self) -> str:
        """What a search looks at, in lower case."""
        return " ".join((self.label, self.ref, self.backbone, self.verdict, self.name)).casefold()


def read_row(folder: Path, key: str, name: str) -> RunRow:
    """Reads what the list shows; a folder that is damaged, or is being removed, gives a row that says so."""
    try:
        with open_plain(folder / MANIFEST) as file:
            manifest = json.loads(file.read(MAX_MANIFEST))
        if (written := manifest["format"]) not in range(1, FORMAT + 1):
            return RunRow(key, name, problem=f"record format {written}; this MAIA reads 1 to {FORMAT}: upgrade it")
        with open_plain(folder / JOURNAL) as journal:
            last = _last_event(journal)
            age = time.time() - os.fstat(journal.fileno()).st_mtime
            ended = last.get("event") == "outcome"
            running = not ended and (age < FRESH or _is_written(journal))
        return _row(key, name, manifest, last, running)
    except OSError as error:
        return RunRow(key, name, problem=f"cannot be read: {error.strerror}")
    except Exception:  # A record from elsewhere may hold anything anywhere; one run must not take down the list.
        return RunRow(key, name, problem="the record is damaged, or not a run's")


def _row(key: str, name: str, manifest: dict[str, Any], last: dict[str, Any], running: bool) -> RunRow:
    config, system = manifest["config"], manifest["system"]
    ended = last.get("event") == "outcome"
    explanation, verdict = last.get("explanation") or {}, last.get("verdict") or {}
    usage = last.get("usage") or {}
    fits = [prediction["pearson"][0] for prediction in verdict.get("predictions") or ()][:1]
    backbone = config.get("backbone") or {}
    return RunRow(
        key=key,
        name=name,
        model=_text(system.get("model")),
        layer=_text(system.get("layer")),
        unit=_text(system.get("unit")),
        backbone=_text(backbone.get("name") if isinstance(backbone, dict) else backbone),
        verify=bool(config.get("verify", True)),
        created=_number(manifest.get("created")) or 0.0,
        status=_text(last["status"]) if ended else "running" if running else "unfinished",
        labels=tuple(_text(label) for label in list(explanation.get("labels") or ())[:12]) if ended else (),
        verdict=_verdict(verdict) if ended else "",
        fit=_number(fits[0]) if fits else None,
        cost=None if not ended or usage.get("unpriced_tokens") else _number(usage.get("cost", 0.0)),
        tokens=int(_number(usage.get("input_tokens", 0)) or 0) + int(_number(usage.get("output_tokens", 0)) or 0),
        turns=int(_number(last.get("turns") if ended else last.get("turn", 0)) or 0),
        seconds=_number(last.get("seconds")) or 0.0 if ended else 0.0,
    )


def _verdict(verdict: dict[str, Any]) -> str:
    if not verdict or not verdict.get("measured", True):
        return ""
    return "verified" if verdict.get("passed") else "partly verified" if verdict.get("partly") else "not verified"


def _text(value: object) -> str:
    return redacted(str(value))[:400] if value is not None else ""


def _number(value: object) -> float | None:
    """Returns a finite number; None for anything else: a record from elsewhere may hold any value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        return None
    return float(value)


def _last_event(journal: BinaryIO) -> dict[str, Any]:
    """Returns the last whole event that is not a note; empty where there is none. A torn line is left out."""
    for line in _lines_backwards(journal):
        event = json.loads(line)
        if event.get("event") != "note":
            return dict(event)
    return {}


def _lines_backwards(journal: BinaryIO) -> Iterator[bytes]:
    """Yields the whole lines of a file from its last one, reading no more of it than needed."""
    end = journal.seek(0, os.SEEK_END)
    block, known = BLOCK, 0  # Bytes at the end that were yielded already.
    while True:
        start = max(0, end - block)
        journal.seek(start)
        data = journal.read(end - start)
        # Behind the last newline is a torn line; before the first one is the rest of a line that began earlier.
        whole = data[data.find(b"\n") + 1 if start else 0 : data.rfind(b"\n") + 1]
        lines = whole[: len(whole) - known].splitlines()
        yield from reversed(lines)
        known = len(whole)
        if start == 0 or block >= MAX_TAIL:
            return
        block *= 8


def _is_written(journal: BinaryIO) -> bool:
    """Returns whether a process holds the journal's lock, as the writer of a run does; takes no lock itself."""
    try:
        inode = f":{os.fstat(journal.fileno()).st_ino} "
        with open("/proc/locks", encoding="ascii") as locks:
            return any(inode in line for line in locks)
    except OSError:
        return False
