"""Keeps the sessions of a sweep within its limits: an observer of each run, which also wraps its backbone."""

from __future__ import annotations

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
    Turn,
    Usage,
    hookimpl,
)
from maia_sweep.ledgers import Ledger


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
    def should_stop(self, session: RunSession) -> None:
        """Waits until the backbone may be asked: here, the time does not count as that of the reply.

        Raises:
            SweepPaused: a limit is used up.
        """
        self._stop_at_limit()
        self._thread.used = session.usage
        _wait(self._ledger)
        self._thread.granted = True

    @hookimpl
    def turn_finished(self, session: RunSession, turn: Turn) -> None:
        """Counts what the turn has used."""
        self._ledger.spend(session.usage - getattr(self._thread, "used", Usage()))
        self._thread.used = session.usage

    def _stop_at_limit(self) -> None:
        if reason := self._ledger.used_up():
            raise SweepPaused(reason)


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
        if not getattr(self._thread, "granted", False):
            _wait(self._ledger)
        self._thread.granted = False
        try:
            reply = self._backbone.complete(messages, limits)
        except BackboneBusy as busy:
            self._ledger.refused(busy.retry_after)
            raise
        self._ledger.accepted()
        return reply

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)


def _wait(ledger: Ledger) -> None:
    """Waits for a slot; one that was refused meanwhile waits for the service, too."""
    time.sleep(ledger.slot())
    while (blocked := ledger.state.blocked - time.time()) > 0:
        time.sleep(blocked)
