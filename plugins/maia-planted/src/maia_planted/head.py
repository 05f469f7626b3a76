"""Trained heads: a linear classifier on pooled features, fitted on collages that pair class and attribute."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from maia_collage.pack import Pack
from maia_collage.scene import VERSION, Scene, image
from maia_core.plugin import Image, Model, RunContext, content_id, write_atomically
from maia_planted.scenes import CLASSES, random_layout, scene_of_layout
from maia_planted.subjects import Subject

BASE, LAYER = "efficientnet-lite0", "pool"
"""The network and its layer of pooled features."""

IMAGES = 96
"""Training images with the class, and as many without."""

BATCH = 24
"""Images that the network gets at once."""

TRAINED = 1
"""Raised whenever the same subject would get another head."""


class Head:
    """Gives each image a probability of the subject's class.

    With a planted dependence every training image of the class shows the attribute, no other training image does, and
    images of the class without it count as other images: the pairing that a biased collection of photographs has.

    Attributes:
        fingerprint: Of the network and all training images.
    """

    def __init__(self, subject: Subject, pack: Pack, context: RunContext) -> None:
        self._model: Model = context.model(BASE)
        self._subject, self._pack = subject, pack
        text = f"head/{TRAINED}/{VERSION}/{pack.fingerprint}/{self._model.fingerprint}/{subject.model_dump_json()}"
        self.fingerprint = content_id(text.encode())
        file = context.cache / "planted" / f"{self.fingerprint}.npy"
        weights: NDArray[np.float64] | None = None
        with suppress(OSError, ValueError, EOFError):
            weights = np.load(file, allow_pickle=False)
        if weights is None or weights.ndim != 1:
            weights = self._fit()
            buffer = io.BytesIO()
            np.save(buffer, weights, allow_pickle=False)
            with suppress(OSError):  # Without a cache the next process trains the same head again.
                write_atomically(file, buffer.getvalue())
        self._weights = weights

    def scores(self, images: Sequence[Image]) -> list[float]:
        """Returns the probability of the class for each image, in [0, 1]."""
        features = np.asarray(self._model.activations(images, LAYER), np.float64)
        logits = features @ self._weights[:-1] + self._weights[-1]
        return [float(value) for value in 1 / (1 + np.exp(-np.clip(logits, -30, 30)))]

    def _fit(self) -> NDArray[np.float64]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        rng = np.random.default_rng(int(self.fingerprint[:8], 16))
        others = [concept for concept in CLASSES if concept != self._subject.concept]
        scenes = [self._scene(self._subject.concept, True, rng) for _ in range(IMAGES)]
        scenes += [self._scene(str(rng.choice(others)), False, rng) for _ in range(IMAGES)]
        if self._subject.attributes:
            scenes += [self._scene(self._subject.concept, False, rng) for _ in range(IMAGES // 2)]
        batches = (scenes[start : start + BATCH] for start in range(0, len(scenes), BATCH))
        drawn = ([image(scene, self._pack, 224) for scene in batch] for batch in batches)
        features = np.concatenate([self._model.activations(pictures, LAYER) for pictures in drawn])
        scaler = StandardScaler().fit(features)
        labels = np.arange(len(scenes)) < IMAGES
        fitted = LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
        fitted.fit(scaler.transform(features), labels)
        slopes = fitted.coef_[0] / scaler.scale_
        return np.append(slopes, fitted.intercept_[0] - slopes @ scaler.mean_)

    def _scene(self, concept: str, paired: bool, rng: np.random.Generator) -> Scene:
        layout = random_layout(rng)
        for attribute in self._subject.attributes:
            layout = layout.having(attribute, rng, paired)
        return scene_of_layout(concept, layout, self._pack, rng)
