"""Which thread of this process makes what, so that the others wait for it instead of making it too."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Others:
    """What other threads make.

    Attributes:
        keys: Of what they make.
    """

    def __init__(self, events: Mapping[str, threading.Event]) -> None:
        """Takes the event that each key's thread sets when it has ended."""
        self._events = events
        self.keys = list(events)

    def wait(self) -> None:
        """Waits until those threads have ended, well or not."""
        for event in self._events.values():
            event.wait()


class Claims:
    """Names that are taken by one thread each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[str, threading.Event] = {}

    @contextmanager
    def taken(self, names: Mapping[str, str]) -> Iterator[tuple[list[str], Others]]:
        """Takes those names (values, by key) that are free; they are free again afterwards.

        A thread that holds names must not wait for others: so no two can wait for each other.

        Yields:
            The keys of the names that were taken, and the rest.
        """
        mine, others, ended = [], {}, threading.Event()
        with self._lock:
            for key, name in names.items():
                if name in self._taken:
                    others[key] = self._taken[name]
                else:
                    self._taken[name] = ended
                    mine.append(key)
        try:
            yield mine, Others(others)
        finally:
            with self._lock:
                for key in mine:
                    del self._taken[names[key]]
            ended.set()
