"""The concept nearest in meaning to a word that the pack does not have.

Three ways, in this order: a shipped table of stand-ins (in the vocabulary), sentence embeddings where the extra
`semantic` is installed, and spelling.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maia_labels.minilm import installed, shared

SURE = 0.55
"""Cosine similarity from which on the embedding is believed before the spelling."""

MIN_SIMILARITY = 0.45
"""Cosine similarity below which nothing is near."""

SPELLING = 0.8
"""Least `difflib` ratio of a word that is taken for a misspelling."""


class Nearest:
    """Finds the nearest of some names; embeds them when it is first asked."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._embedded: NDArray[np.float32] | None = None
        self._lock = threading.Lock()
        self._remembered = lru_cache(maxsize=4096)(self._find)

    def __call__(self, phrase: str) -> str | None:
        """Returns the nearest name, or None if nothing is near."""
        return self._remembered(phrase)

    def _find(self, phrase: str) -> str | None:
        folder = installed()
        best, similarity = self._by_meaning(phrase, folder) if folder and self.names else (None, 0.0)
        if similarity >= SURE:
            return best
        if close := difflib.get_close_matches(phrase, self.names, n=1, cutoff=SPELLING):
            return close[0]
        return best if similarity >= MIN_SIMILARITY else None

    def _by_meaning(self, phrase: str, folder: Path) -> tuple[str, float]:
        model = shared(folder)
        with self._lock:
            if self._embedded is None:
                self._embedded = model.embed(self.names)
        similarities = self._embedded @ model.embed([phrase])[0]
        best = int(similarities.argmax())
        return self.names[best], float(similarities[best])


def method() -> str:
    """Returns how nearness is judged here; part of every fingerprint that depends on it."""
    return "all-MiniLM-L6-v2" if installed() else "spelling"
