"""One copy of a loaded model for all its users in a process."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

M = TypeVar("M")


class SharedModels(Generic[M]):
    """Loaded models by the values that they are loaded from. Safe to use from several threads.

    A model without users stays until another model is loaded or `free_unused` is called, so that the next run of a
    sweep finds it loaded.
    """

    def __init__(self, free: Callable[[M], None]) -> None:
        """Starts without a model.

        Args:
            free: Takes a model that left, to free its memory.
        """
        self._free = free
        self._lock = threading.RLock()
        self._models: dict[Hashable, M] = {}
        self._users: dict[Hashable, int] = {}

    def acquire(
        self, user: object, key: Hashable, load: Callable[[], M]
    ) -> tuple[M, weakref.finalize[[Hashable], object]]:
        """Returns the model of a key, and a function that ends this use; the collection of `user` ends it too.

        Args:
            user: The object that uses the model.
            key: The values that decide about the model.
            load: Loads the model; its errors pass through.
        """
        with self._lock:
            if key not in self._models:
                self.free_unused()
                self._models[key] = load()
            self._users[key] = self._users.get(key, 0) + 1
            return self._models[key], weakref.finalize(user, self._release, key)

    def free_unused(self) -> None:
        """Frees the models without users."""
        with self._lock:
            for key in [key for key in self._models if not self._users.get(key)]:
                self._users.pop(key, None)
                self._free(self._models.pop(key))

    def free_all(self) -> None:
        """Frees every model; for the end of the process."""
        with self._lock:
            while self._models:
                self._free(self._models.popitem()[1])

    def loaded(self) -> list[M]:
        """Returns the models in memory."""
        with self._lock:
            return list(self._models.values())

    def _release(self, key: Hashable) -> None:
        with self._lock:
            self._users[key] -= 1
