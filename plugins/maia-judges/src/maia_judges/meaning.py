"""How near two texts are in meaning: sentence embeddings, or shared words where the extra `semantic` is missing."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maia_labels.minilm import installed, shared
from maia_labels.vocabulary import singulars

REMEMBERED = 20_000
"""Texts whose embeddings are kept in memory (1.5 kB each)."""

_KNOWN: dict[str, NDArray[np.float32]] = {}
_LOCK = threading.Lock()


def nearness(text: str, others: Sequence[str]) -> NDArray[np.float64]:
    """Returns the similarity of one text to each of others: float64 of shape (others,), values in [0, 1]."""
    if not others:
        return np.zeros(0)
    if installed() is None:
        return np.array([_common(text, other) for other in others])
    vectors = _embedded([text, *others])
    return np.clip(np.asarray(vectors[1:] @ vectors[0], np.float64), 0, 1)


def method() -> str:
    """Returns how nearness is judged here."""
    return "all-MiniLM-L6-v2" if installed() else "shared words"


def _embedded(texts: Sequence[str]) -> NDArray[np.float32]:
    """Embeds texts, shape (texts, 384); those that were embedded lately are remembered."""
    folder = installed()
    assert folder is not None
    with _LOCK:
        missing = [text for text in dict.fromkeys(texts) if text not in _KNOWN]
        if missing:
            if len(_KNOWN) > REMEMBERED:
                _KNOWN.clear()
                missing = list(dict.fromkeys(texts))
            _KNOWN.update(zip(missing, shared(folder).embed(missing), strict=True))
        return np.array([_KNOWN[text] for text in texts])


def _common(a: str, b: str) -> float:
    """Returns the share of words that two texts have in common (Jaccard), plurals and small words aside."""
    one, other = _words(a), _words(b)
    return len(one & other) / len(one | other) if one and other else 0.0


def _words(text: str) -> set[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return {(singulars(word) or [word])[0] for word in words if word not in ("a", "an", "the", "of", "in", "on")}
