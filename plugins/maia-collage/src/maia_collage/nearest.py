"""The concepts nearest in meaning to a word that the pack does not have.

Three ways, in this order: a shipped table of stand-ins (in the vocabulary), sentence embeddings where the extra
`semantic` is installed, and spelling.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maia_labels.minilm import installed, shared

MIN_SIMILARITY = 0.72
"""Cosine similarity of two names from which on one may stand for the other.

Below it, names share letters or a setting, not a meaning: `zebra crossing` and `zebra` have 0.71, `jellyfish` and
`butterflyfish` 0.71, `feather` and `hen` 0.70, `egg` and `eggplant` 0.65; `wolfhound` and `wolf` have 0.84.
"""

LISTED = 5
"""Names that a note about a missing thing lists."""

SPELLING = 0.8
"""Least `difflib` ratio of a word that is taken for a misspelling; its first letter must be right.

A word that the embeddings know is spelled as it was meant: a house is not a mouse, and a hat is not a cat.
"""


class Nearest:
    """Finds the nearest of some names; embeds them when it is first asked."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._embedded: NDArray[np.float32] | None = None
        self._lock = threading.Lock()
        self._remembered = lru_cache(maxsize=4096)(self._find)
        self._similarities = lru_cache(maxsize=1024)(self._measured)

    def __call__(self, phrase: str) -> str | None:
        """Returns the nearest name, or None if nothing is near."""
        return self._remembered(phrase)

    def listed(self, phrase: str) -> list[str]:
        """Returns the names that are nearest, best first, however far they are: by meaning, else by spelling."""
        similarities = self._similarities(phrase)
        if similarities is None:
            return difflib.get_close_matches(phrase, self.names, n=LISTED, cutoff=0.0)
        return [self.names[place] for place in np.argsort(-similarities, kind="stable")[:LISTED]]

    def _find(self, phrase: str) -> str | None:
        similarities = self._similarities(phrase)
        if similarities is not None and similarities.max() >= MIN_SIMILARITY:
            return self.names[int(similarities.argmax())]
        folder = installed()
        if folder and all(map(shared(folder).knows, phrase.split())):
            return None
        alike = difflib.get_close_matches(phrase, self.names, n=LISTED, cutoff=SPELLING)
        return next((name for name in alike if name[:1] == phrase[:1]), None)

    def _measured(self, phrase: str) -> NDArray[np.float32] | None:
        """Returns the cosine similarity of a phrase to every name; None without the extra `semantic`, or a name."""
        folder = installed()
        if not folder or not self.names:
            return None
        model = shared(folder)
        with self._lock:
            if self._embedded is None:
                self._embedded = model.embed(self.names)
        similarities: NDArray[np.float32] = self._embedded @ model.embed([phrase])[0]
        return similarities


def method() -> str:
    """Returns how nearness is judged here; part of every fingerprint that depends on it."""
    return "all-MiniLM-L6-v2" if installed() else "spelling"
