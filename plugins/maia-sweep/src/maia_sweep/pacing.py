"""Keeps the sessions of a sweep within its limits: an observer of each run, which also wraps its backbone."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Any

from maia_core.plugin import (
    Backbone,
    BackboneBusy,
    BackboneInfo,
    CallLimits,
    Message,
    Reply,
    RunSession,
    hookimpl,
    one_line,
)
from maia_sweep.ledgers import MAX_WAIT, Ledger

LOOK = 60.0
"""Longest time in seconds between two looks at the limits while a session waits."""


class SweepPaused(KeyboardInterrupt):
    """A limit of the sweep interrupts a run, which can be resumed when the limit has been raised."""


class Pacing:
    """Waits for a session's turn, counts what it uses, and interrupts it at a limit of the sweep."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread = threading.local()

    @hookimpl
    def part_built(self, kind: str, part: Any) -> object | None:
        """Wraps a backbone."""
        return _PacedBackbone(part, self._ledger, self._thread) if kind == "backbone" else None

    @hookimpl
    def run_started(self, session: RunSession) -> None:
        """Forgets the call that the thread's last run was granted and did not make."""
        self._thread.granted, self._thread.waited = False, 0.0

    @hookimpl
    def should_stop(self, session: RunSession) -> None:
        """Waits until the backbone may be asked: here, the time does not count as that of the reply.

        Raises:
            SweepPaused: a limit is used up.
        """
        self._book(session)
        _wait(self._ledger)
        self._thread.granted = True

    @hookimpl
    def turn_finished(self, session: RunSession) -> None:
        """Counts what the run has used; a resumed run has also used what it used before."""
        self._book(session)

    @hookimpl
    def run_finished(self, session: RunSession) -> None:
        """Counts what a turn has used that was interrupted."""
        self._book(session)

    def _book(self, session: RunSession) -> None:
        if session.folder is not None:
            self._ledger.book(session.folder, session.usage)


class _PacedBackbone:
    """A backbone that takes its turn among all sessions."""

    def __init__(self, backbone: Backbone, ledger: Ledger, thread: threading.local) -> None:
        self._backbone = backbone
        self._ledger = ledger
        self._thread = thread

    @property
    def info(self) -> BackboneInfo:
        return self._backbone.info

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """Completes when it is this session's turn; waits and retries where the service names a time.

        The time that it waited, also before calls that failed, stands in the reply: it is not time of the run.

        Raises:
            SweepPaused: a limit is used up, or the service refuses for longer than `MAX_WAIT`.
            BackboneBusy: the service refuses and does not name a time.
        """
        began = time.time()
        while True:
            if not getattr(self._thread, "granted", False):
                asked = time.time()
                _wait(self._ledger)
                self._thread.waited = getattr(self._thread, "waited", 0.0) + max(0.0, time.time() - asked)
            self._thread.granted = False
            try:
                reply = self._backbone.complete(messages, limits)
            except BackboneBusy as busy:
                self._ledger.refused(busy.retry_after)
                if busy.retry_after is None or not math.isfinite(busy.retry_after):
                    raise BackboneBusy(str(busy)) from busy
                if time.time() - began > MAX_WAIT:
                    raise SweepPaused(f"the service has refused a call for an hour: {one_line(busy)}") from busy
                continue
            self._ledger.accepted()
            waited, self._thread.waited = getattr(self._thread, "waited", 0.0), 0.0
            return reply.model_copy(update={"waited": reply.waited + waited})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)


def _wait(ledger: Ledger) -> None:
    """Waits for the next call, also while the service refuses all.

    Raises:
        SweepPaused: a limit is used up.
    """
    while True:
        if reason := ledger.used_up():
            raise SweepPaused(reason)
        if not (seconds := ledger.slot()):
            return
        time.sleep(min(seconds, LOOK))
