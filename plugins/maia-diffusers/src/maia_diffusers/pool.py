"""One copy of a pipeline for all who use it in a process; it leaves memory when nobody has used it for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

P = TypeVar("P")


@dataclass(eq=False)
class Slot(Generic[P]):
    """The place of one pipeline.

    Attributes:
        held: The pipeline; None while it is not loaded.
        most: Largest batch that is tried, since a larger one did not fit into memory.
        lock: Held by who uses the pipeline.
        users: How many use it, or wait for it.
        timer: Runs since the last use; drops the pipeline when it ends.
    """

    held: P | None = None
    most: int | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    users: int = 0
    timer: threading.Timer | None = None


class Pool(Generic[P]):
    """Pipelines by what they are made from."""

    def __init__(self, dropped: Callable[[Sequence[Hashable]], None]) -> None:
        """Makes an empty pool.

        Args:
            dropped: Told the keys of pipelines that have left, to free what they held.
        """
        self._dropped = dropped
        self._lock = threading.Lock()
        self._slots: dict[Hashable, Slot[P]] = {}

    @contextmanager
    def using(self, key: Hashable, load: Callable[[], P], idle_seconds: float) -> Iterator[tuple[P, Slot[P]]]:
        """Lends a pipeline to one thread at a time, loaded if it is not there.

        Args:
            key: What it is made from.
            load: Makes it; what it raises is passed on.
            idle_seconds: How long it stays after this use if there is no other one.

        Yields:
            The pipeline, which must not be referred to afterwards, and its place.
        """
        with self._lock:
            slot = self._slots.setdefault(key, Slot())
            slot.users += 1
            if slot.timer is not None:
                slot.timer.cancel()
        try:
            with slot.lock:
                if slot.held is None:
                    slot.held, slot.most = load(), None
                yield slot.held, slot
        finally:
            timer = threading.Timer(idle_seconds, lambda: self._expire(key, timer))
            timer.daemon = True
            with self._lock:
                slot.users -= 1
                slot.timer = timer
            timer.start()

    def drop_idle(self) -> bool:
        """Drops every pipeline that nobody uses now; returns whether there was one."""
        with self._lock:
            idle = [key for key, slot in self._slots.items() if slot.held is not None and not slot.users]
            for key in idle:
                self._slots[key].held = None
        if idle:
            self._dropped(idle)
        return bool(idle)

    def loaded(self) -> list[Hashable]:
        """Returns the keys of the pipelines that are in memory."""
        with self._lock:
            return [key for key, slot in self._slots.items() if slot.held is not None]

    def _expire(self, key: Hashable, timer: threading.Timer) -> None:
        with self._lock:
            slot = self._slots[key]
            if slot.timer is not timer or slot.users or slot.held is None:
                return
            slot.held = None
        self._dropped([key])
