"""Finds labels by what they mean: sentence embeddings where they are installed, else the share of equal words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from maia_labels import minilm

MIN_LIKENESS = 0.35
"""Cosine of embeddings, or share of words, below which a label is not like the words."""

PART = re.compile(r" OR | AND | given ")
STRENGTH = re.compile(r"\s*\(\d+%\)$")


def rank(rows: Sequence[dict[Any, Any]], words: str, keep_order: bool = False) -> list[dict[Any, Any]]:
    """Returns the rows whose label is like some words, with their `likeness`, the likest first.

    Args:
        rows: Rows with a `label`; of labels joined by OR or AND, the likest part counts.
        words: What to look for.
        keep_order: Whether the order of the rows stays.
    """
    parts = {row["label"]: parts_of(str(row["label"])) for row in rows if row.get("label")}
    texts = list(dict.fromkeys(part for found in parts.values() for part in found))
    if not texts:
        return []
    likeness = dict(zip(texts, _likeness()(words, texts), strict=True))
    best = {label: max(likeness[part] for part in found) for label, found in parts.items() if found}
    ranked = [row | {"likeness": best[row["label"]]} for row in rows if best.get(row.get("label"), 0.0) >= MIN_LIKENESS]
    return ranked if keep_order else sorted(ranked, key=lambda row: -float(row["likeness"]))


def parts_of(label: str) -> list[str]:
    """Returns the single labels in a label, without strengths."""
    return [part for text in PART.split(label) if (part := STRENGTH.sub("", text).strip())]


def _likeness() -> Callable[[str, Sequence[str]], list[float]]:
    folder = minilm.installed()
    if folder is None:
        return _equal_words
    model = minilm.shared(folder)

    def cosines(words: str, texts: Sequence[str]) -> list[float]:
        found: list[float] = (model.embed(texts) @ model.embed([words])[0]).astype(np.float64).tolist()
        return found

    return cosines


def _equal_words(words: str, texts: Sequence[str]) -> list[float]:
    wanted = set(re.findall(r"\w+", words.casefold()))
    return [len(wanted & set(re.findall(r"\w+", text.casefold()))) / max(1, len(wanted)) for text in texts]
