"""Reads a run for its page: all of it, or a part of a long one."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from maia_core.plugin import JOURNAL, RecordError, RunReader, open_plain
from maia_report.page import content, sections_of
from maia_report.summary import RunSummary
from maia_view.library import RunFolder

WHOLE = 6 << 20
"""Largest journal that is read at once, in bytes."""

PART = 3 << 19
"""About how many bytes of the turns of a longer one are read at once."""

MAX_LINE = 32 << 20
"""Longest line of a journal, in bytes: `RunReader` refuses longer ones."""

MAX_TURNS = 20
"""Most turns of a part."""

NEWEST = 1_000_000
"""Stands for the part that holds the newest turns; no journal holds as many."""

_EVENT = re.compile(rb'"event": ?"(\w+)"')


@dataclass(frozen=True)
class Part:
    """The turns of a run that a page shows.

    Attributes:
        summary: The run, as far as it was read.
        first: Number of the first turn on the page.
        last: Number of the last one.
        turns: Number of turns in all.
        size: Bytes of the journal.
    """

    summary: RunSummary
    first: int
    last: int
    turns: int
    size: int

    @cached_property
    def content(self) -> dict[str, Any]:
        """The variables of the templates that show it, see `maia_report.page.content`."""
        sections, problems = sections_of(self.summary.run) if self.is_whole else ([], [])
        return content(self.summary, sections, problems)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the run is left out."""
        return self.first <= 1 and self.last >= self.turns

    @property
    def earlier(self) -> int | None:
        """First turn of the part before this one; None where there is none."""
        return max(1, self.first - MAX_TURNS) if self.first > 1 else None

    @property
    def later(self) -> int | None:
        """First turn of the part behind this one; None where there is none."""
        return self.last + 1 if self.last < self.turns else None


class Shelf:
    """The runs that were read last, so that a page and its live part read a journal once."""

    def __init__(self, room: int = 2 * WHOLE) -> None:
        self._room = room
        self._parts: OrderedDict[tuple[str, int, int, int], Part] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, run: RunFolder, first: int = 1) -> Part:
        """Returns a run, or a part of a long one, from a turn on.

        Raises:
            RecordError: it is not a run folder any more, or holds what a run folder must not hold.
        """
        key = run.key, run.changed, run.size, first if run.size > WHOLE else 1
        with self._lock:
            if key not in self._parts:
                self._parts[key] = read_part(run.path, run.size, first)
            self._parts.move_to_end(key)
            while sum(min(part.size, WHOLE) for part in self._parts.values()) > self._room and len(self._parts) > 1:
                self._parts.popitem(last=False)
            return self._parts[key]


def read_part(folder: Path, size: int, first: int = 1) -> Part:
    """Returns a run, or of one with a long journal the turns from `first` on that fit a page; else the newest.

    Raises:
        RecordError: as for `RunReader`; a file was removed, or cannot be read.
    """
    try:
        return _part(folder, size, first)
    except OSError as error:
        raise RecordError(f"cannot read {folder}: {error.strerror}") from error


def _part(folder: Path, size: int, first: int) -> Part:
    if size <= WHOLE:
        summary = RunSummary(RunReader(folder))
        return Part(summary, 1, len(summary.steps), len(summary.steps), size)
    turns, end = turn_offsets(folder / JOURNAL)
    if first > len(turns):
        newest = [number for number, offset in enumerate(turns, 1) if offset > end - PART][-MAX_TURNS:]
        first = newest[0] if newest else len(turns)
    first = max(first, 1)
    begin = turns[first - 1] if turns else 0
    shown = [offset for offset in turns[first - 1 :] if offset < begin + PART][:MAX_TURNS]
    last = first - 1 + len(shown)
    stop = turns[last] if last < len(turns) else end
    # The exemplars and what is known about the unit come from the first turns.
    head = RunReader(folder, stop=turns[1] if len(turns) > 1 else end)
    run = RunReader(folder, start=begin, stop=stop) if first > 1 else RunReader(folder, stop=stop)
    tail = RunReader(folder, start=_last_line(folder / JOURNAL, end)).events if stop < end else []
    run.events = (head.events if first > 1 else []) + run.events + [e for e in tail if e.event in ("outcome", "note")]
    summary = RunSummary(run)
    before = len(summary.steps) - len(shown) if shown else 0
    for step in summary.steps[before:]:
        step.number += first - 1 - before
        if last < len(turns):
            step.final = step.dropped = False
    if (outcome := summary.outcome) is not None:
        summary.usage, summary.turns = outcome.usage, outcome.turns
    summary.steps = summary.steps[before:]
    return Part(summary, first, last, len(turns), size)


def turn_offsets(journal: Path) -> tuple[list[int], int]:
    """Returns where each turn begins in a journal, and the end of its last whole line; parses nothing."""
    turns: list[int] = []
    position, turn_is_open = 0, False
    with open_plain(journal) as file:
        for line in iter(partial(file.readline, MAX_LINE), b""):
            if not line.endswith(b"\n"):
                break
            kind = event[1] if (event := _EVENT.search(line, 0, 200)) else b""
            # A turn begins with a reply; one that a person runs, with a program.
            if kind == b"reply" or (kind == b"program" and not turn_is_open):
                turns.append(position)
            turn_is_open = kind == b"reply" or (turn_is_open and kind in (b"note", b"asked"))
            position += len(line)
    return turns, position


def _last_line(journal: Path, end: int) -> int:
    """Returns where the last whole line begins."""
    with open_plain(journal) as file:
        block = 1 << 16
        while block < 1 << 26:
            start = max(0, end - block)
            file.seek(start)
            place = file.read(end - 1 - start).rfind(b"\n")
            if place >= 0 or start == 0:
                return start + place + 1
            block *= 8
    return end
