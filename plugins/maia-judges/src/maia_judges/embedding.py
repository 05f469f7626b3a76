"""A judge that asks nobody: the concept tree of the laboratory and sentence embeddings."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maia_core.plugin import Image, ImageTextSimilarity, PluginConfig, RunContext, content_id
from maia_judges.fit import agreement, fits
from maia_judges.meaning import method
from maia_judges.near import write_near
from maia_judges.neutral import write_neutral
from maia_judges.prompts import write
from maia_judges.scale import Scale, measured, sample
from maia_judges.spread import Spread
from maia_judges.ties import keys
from maia_labels.parts import leaves, parts_of, says_nothing
from maia_labels.pictured import pictured

Predictions = NDArray[np.float64]

SAME = 0.9
"""Agreement from which on two labels say the same: "small" and "tiny" have 0.87, "beside a car" and "near cars" 1."""

VERSION = 4
"""Raised whenever the same question would get another answer."""


class EmbeddingJudge:
    """Writes prompts along the concept tree, ranks and compares by the tree and by sentence embeddings.

    Predictions are those of the run's `similarity`. Every answer is a function of its arguments: nothing is random.
    """

    predicts_for_free = True

    class Config(PluginConfig):
        """Options of the judge `embedding`."""

        pack: str = ""
        """The laboratory's pack whose concepts prompts prefer; a folder or kind. Empty: the first that was fetched."""
        reference: int = Field(32, ge=8, le=2000)
        """Images of the run's data set that the scale of predictions is found on, once."""

    def __init__(self, config: Config, context: RunContext) -> None:
        pictures = pictured(config.pack, context.cache)
        self._spread = Spread(pictures)
        self._reference = config.reference
        self._context = context
        self._scale: Scale | None = None
        self._lock = threading.Lock()
        drawn = pictures.fingerprint if pictures else "no pack"
        self.fingerprint = content_id(f"embedding/{VERSION}/{method()}/{drawn}/{config.reference}".encode())

    def write_prompts(self, label: str, n: int) -> list[str]:
        """Writes `n` different prompts; the first of a longer list are those of a shorter one."""
        return write(label, n, self._spread)

    def write_neutral(self, label: str, n: int) -> list[str]:
        """Writes `n` different prompts that show nothing of a label, as far as the concept tree and embeddings tell."""
        return write_neutral(label, n, self._spread)

    def write_near(self, label: str, n: int) -> list[str]:
        """Writes at most `n` prompts of near misses, from the neighbours of the label's concepts in the tree."""
        return write_near(label, n, self._spread)

    def select(self, label: str, prompts: Sequence[str]) -> list[int]:
        """Ranks prompts by how well they show what `label` says; equal ones as `maia_judges.ties` orders them."""
        fit, order = np.round(fits(label, prompts), 6), keys(label, prompts)
        return sorted(range(len(prompts)), key=lambda i: (-fit[i], order[i], i))

    def compare(self, truth: str, a: str, b: str) -> int:
        """Returns which label agrees better with `truth`; between equal ones their texts decide, not their places."""
        one, other = round(agreement(truth, a), 6), round(agreement(truth, b), 6)
        if one != other:
            return 0 if one > other else 1
        first, second = keys(truth, [a, b])
        return 0 if first <= second else 1

    def same(self, a: str, b: str) -> bool:
        """Tells whether two labels say the same: their agreement is at least `SAME`."""
        return agreement(a, b) >= SAME

    def predict(self, label: str, images: Sequence[Image]) -> list[float]:
        """Predicts responses in [0, 1] from the run's similarity.

        0 is what a text that does not fit gets, 1 what one that fits gets, see `maia_judges.scale`. A OR B is the
        larger prediction, each times its strength; A given B and A AND B the smaller one. A label that says nothing
        predicts 0.5 for all images.
        """
        if says_nothing(label) or not images:
            return [0.5] * len(images)
        similarity: ImageTextSimilarity = self._context.part("similarity")
        scale = self._scaled(similarity)
        texts = leaves(label)
        scores = scale(similarity.similarity([image.anonymous() for image in images], texts))
        return [float(value) for value in _joined(label, dict(zip(texts, scores.T, strict=True)))]

    def _scaled(self, similarity: ImageTextSimilarity) -> Scale:
        with self._lock:
            if self._scale is None:
                images = sample(self._context.dataset, self._reference)
                self._scale = measured(similarity, images, self._spread.broader())
            return self._scale


def _joined(label: str, by_leaf: dict[str, Predictions]) -> Predictions:
    parts = parts_of(label)
    if parts.form == "one":
        return by_leaf[parts.parts[0]]
    each = np.array([_joined(part, by_leaf) for part in parts.parts])
    if parts.strengths:
        each *= np.array(parts.strengths)[:, None]
    return np.asarray(np.max(each, axis=0) if parts.form == "either" else np.min(each, axis=0))
