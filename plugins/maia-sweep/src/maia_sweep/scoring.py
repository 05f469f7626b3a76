"""Scores labels on held-out real images: how well they predict which images activate the unit."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from maia_core.plugin import Context, Explanation, Image, Model, System, one_line
from maia_exemplars import exemplar_source
from maia_exemplars.held_out import HeldOutImages
from maia_exemplars.splits import held_out_dataset
from maia_stats import average_precision_interval, pearson_interval

LEVEL = 0.95
"""Confidence of the intervals."""
ACTIVE = 0.95
"""Quantile of the activation above which an image counts as active."""
EXEMPLARS = 15
"""Exemplars that are compared with each other."""
MAX_FEATURES = 20_000
"""Images whose features stay in memory."""


class Scorer:
    """Scores the labels of many units on the same images; the activations of a layer are measured once."""

    def __init__(self, context: Context, images: int) -> None:
        """Builds nothing yet.

        Args:
            context: The parts: its judge predicts, its data set has a held-out part or is used as it is.
            images: Number of held-out images; 0: nothing is scored.
        """
        self._context = context
        self._count = images
        self._features: dict[str, np.ndarray] = {}

    @cached_property
    def _held_out(self) -> HeldOutImages:
        chosen = held_out_dataset(self._context.config, self._context.registry) or self._context.config.dataset
        return HeldOutImages(self._context.build("dataset", chosen.name, **chosen.options), self._count)

    def scores(self, system: System, explanation: Explanation | None) -> dict[str, object]:
        """Returns the figures of a unit's labels, by the names of the table's columns; empty where there are none."""
        judge = self._context.part("judge") if self._count else None
        # A judge that asks a service would cost more than many explanations.
        if judge is None or not getattr(judge, "predicts_for_free", False) or not explanation or not explanation.labels:
            return {}
        try:
            images = self._held_out.images
            measured = self._held_out.activations(system)
            predicted = judge.predict(explanation.line, [image.anonymous() for image in images])
        except Exception as error:  # Also a plugin's own mistake: the label has been paid for.
            return {"error": f"not scored: {one_line(error)}"[:300]}
        limit = np.quantile(measured, ACTIVE)
        active = measured > (limit if limit < measured.max() else np.nextafter(limit, -np.inf))
        figures: dict[str, object] = {"images": len(images)}
        for name, found in (
            ("pearson", pearson_interval(predicted, measured, LEVEL, 0)),
            ("auprc", average_precision_interval(predicted, active, LEVEL, 0)),
        ):
            if found is not None:
                figures |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        return figures

    def polysemy(self, system: System) -> float | None:
        """Returns how little a unit's exemplars have in common, in [0, 1]; None where its model is not known.

        It is 1 less the mean cosine similarity of all pairs of exemplars, in the last layer that is not the output.
        """
        model = getattr(system, "model", None)
        if not isinstance(model, Model):
            return None
        layers = [layer.name for layer in model.layers() if layer.kind not in ("inner", "classes")]
        exemplars, _ = exemplar_source(self._context, system).exemplars(system, EXEMPLARS)
        if not layers or len(exemplars) < 2:
            return None
        features = self._features_of([exemplar.image for exemplar in exemplars], model, layers[-1])
        features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        cosines = (features @ features.T)[np.triu_indices(len(features), 1)]
        return float(np.clip(1 - cosines.mean(), 0, 1))

    def _features_of(self, images: list[Image], model: Model, layer: str) -> np.ndarray:
        clean = [image.clean or image for image in images]
        missing = {image.id: image for image in clean if image.id not in self._features}
        if missing:
            rows = model.activations(list(missing.values()), layer)
            if len(self._features) > MAX_FEATURES:
                self._features.clear()
            known = dict(zip(missing, rows, strict=True))
            self._features.update(known)
        return np.stack([self._features[image.id] for image in clean])
