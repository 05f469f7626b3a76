"""The exemplars of a synthetic neuron: a data set is searched for every concept once, for all neurons made of it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from maia_core.plugin import (
    Dataset,
    Detection,
    Detector,
    Exemplar,
    Image,
    RunContext,
    System,
    UnitStatistics,
    UnreadableImage,
    UsageError,
    content_id,
    write_atomically,
)
from maia_exemplars import statistics
from maia_labels.expression import Expression, concepts
from maia_synthetic.collages import in_laboratory, known_scores
from maia_synthetic.response import Vector, values

Score = Literal["mean", "max"]
"""The number that stands for the boxes of a concept in one image."""

CHUNK = 512
"""Images whose scores are kept in one file: the most that a search which is killed does again."""
BATCH = 32
"""Images that are in memory at once."""


class KnownExemplars:
    """Finds the exemplars of one expression in one data set: a `maia_core.protocols.ExemplarSource`.

    The scenes of collages are read without drawing them. In other data sets the detector searches: its scores, one
    number for an image and a concept, are kept on disk. Only the exemplars themselves are drawn or loaded to be masked.
    """

    def __init__(
        self, expression: Expression, detector: Detector, dataset: Dataset, context: RunContext, score: Score
    ) -> None:
        self._score = score
        self._expression = expression
        self._detector = detector
        self._dataset = dataset
        self._context = context

    def exemplars(self, system: System, k: int) -> tuple[list[Exemplar], UnitStatistics]:
        """See `maia_core.protocols.ExemplarSource`."""
        dataset = self._dataset
        activations = values(self._expression, self.scores())
        readable = np.flatnonzero(~np.isnan(activations))
        skipped = np.flatnonzero(np.isnan(activations))
        if skipped.size:
            named = ", ".join(dataset.ids[index] for index in skipped[:5])
            self._context.warn(f"{skipped.size} images of {dataset.name} cannot be read and were skipped: {named}")
        if not readable.size:
            raise UsageError(f"the data set {dataset.name} holds no readable image")
        if not activations[readable].any():
            more = "; -o dataset.count=20000 draws more of them" if in_laboratory(dataset) else ""
            self._context.warn(
                f"none of the {readable.size} images of {dataset.name} activates the unit: what it responds to is rare "
                f"among them, or not there{more}"
            )
        best = readable[np.argsort(-activations[readable], kind="stable")[:k]].tolist()
        _, masked = system.neuron([dataset[index] for index in best])
        found = [Exemplar(float(activations[index]), image) for index, image in zip(best, masked, strict=True)]
        return found, statistics(dataset.name, activations[readable].tolist(), int(skipped.size))

    def scores(self) -> dict[str, Vector]:
        """Returns for each concept the detector's best score in each image, float64 of shape (images,).

        0 where it found nothing, NaN where an image cannot be read.
        """
        known = {text: known_scores(self._detector, self._dataset, text) for text in concepts(self._expression)}
        found = {text: scores for text, scores in known.items() if scores is not None}
        searched = [text for text in known if text not in found]
        parts: dict[str, list[Vector]] = {text: [np.zeros(0)] for text in searched}
        for start in range(0, len(self._dataset), CHUNK) if searched else ():
            for text, scores in self._chunk(searched, start).items():
                parts[text].append(scores)
        return found | {text: np.concatenate(chunks) for text, chunks in parts.items()}

    def _chunk(self, texts: Sequence[str], start: int) -> dict[str, Vector]:
        """Returns the scores of a chunk of the data set, searched for what the disk does not hold."""
        indices = range(start, min(start + CHUNK, len(self._dataset)))
        found = {text: scores for text in texts if (scores := self._kept(text, indices)) is not None}
        missing = [text for text in texts if text not in found]
        if not missing:
            return found
        searched = {text: np.full(len(indices), np.nan) for text in missing}
        for first in range(0, len(indices), BATCH):
            images = self._readable(indices[first : first + BATCH])
            for text in missing:
                detected = self._detector.detect(list(images.values()), text)
                for index, each in zip(images, detected, strict=True):
                    searched[text][index - start] = score_of(each, self._score)
        for text, scores in searched.items():
            self._keep(text, indices, scores)
        return found | searched

    def _readable(self, indices: Sequence[int]) -> dict[int, Image]:
        images = {}
        for index in indices:
            with contextlib.suppress(UnreadableImage):
                images[index] = self._dataset[index]
        return images

    def _kept(self, text: str, indices: range) -> Vector | None:
        try:
            scores = np.load(self._file(text, indices), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return scores if scores.shape == (len(indices),) and scores.dtype == np.float64 else None

    def _keep(self, text: str, indices: range, scores: Vector) -> None:
        buffer = io.BytesIO()
        np.save(buffer, scores, allow_pickle=False)
        with contextlib.suppress(OSError):  # Without a cache the search is slow the next time, and as right.
            write_atomically(self._file(text, indices), buffer.getvalue())

    def _file(self, text: str, indices: range) -> Path:
        span = f"{indices.start}-{indices.stop} {self._score}"
        parts = (self._detector.fingerprint, self._dataset.fingerprint, text, span)
        return self._context.cache / "synthetic" / "scores" / f"{content_id(*(p.encode() for p in parts))}.npy"


def score_of(detections: Sequence[Detection], how: Score) -> float:
    """Returns the activation of a concept: the mean or the highest score of its boxes, 0 without a box."""
    scores = [detection.score for detection in detections]
    if not scores:
        return 0.0
    return max(scores) if how == "max" else sum(scores) / len(scores)
