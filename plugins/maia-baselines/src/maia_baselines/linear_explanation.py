"""The explainer `linear-explanation`: a sparse linear combination of concepts that predicts a unit's activation."""

from __future__ import annotations

import numpy as np
from pydantic import Field, JsonValue

from maia_baselines import linear
from maia_baselines.activations import PoolOptions, measure
from maia_baselines.never import never_active
from maia_baselines.scores import ConceptOptions, concept_scores
from maia_core.plugin import Explanation, RunContext, System, UsageError

MIN_IMAGES = 12
"""Fewer images cannot be fitted and tested."""


class LinearExplanation:
    """Adds up weighted concepts (Linear Explanations, Oikarinen and Weng 2024); its labels are the strongest ones."""

    class Config(ConceptOptions, PoolOptions):
        """Concepts and their scores, pooling, and the number of concepts."""

        longest: int = Field(10, gt=0)
        """Most concepts in the sum."""
        tolerance: float = Field(0.02, ge=0)
        """Least gain in correlation that a further concept must bring."""
        named: int = Field(3, gt=0)
        """Most labels: the concepts whose weighted scores vary most."""
        strengths: bool = True
        """State how strongly each label drives the unit."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.config = config

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains one unit; `details` has every weight, and the correlation on the half that was not fitted.

        Raises:
            UsageError: the data set has too few readable images.
        """
        measured = measure(unit, context, self.config.pool)
        if measured.constant:
            return never_active(unit, context.dataset)
        images = len(measured.values)
        if images < MIN_IMAGES:
            raise UsageError(
                f"a linear explanation needs {MIN_IMAGES} images, {context.dataset.name} has {images}; choose another"
            )
        known = concept_scores(self.config, context)
        scores = known.scores[measured.places]
        order = np.random.default_rng(context.seed).permutation(images)
        fitted, held = np.sort(order[: images // 2]), np.sort(order[images // 2 :])
        model = linear.search(scores[fitted], measured.values[fitted], self.config.longest, self.config.tolerance)
        if model is None:
            return Explanation(
                description=f"No concept of {known.source} varies over the images of {context.dataset.name}.",
                labels=(),
                details={"concepts": known.source},
            )
        simulated = linear.correlation(model.predict(scores[held]), measured.values[held])
        strength = np.asarray(model.weights) * scores[fitted][:, list(model.columns)].std(0)
        ranked = [(known.concepts[model.columns[i]], model.weights[i]) for i in np.argsort(-strength, kind="stable")]
        named = [concept for concept, weight in ranked if weight > 0][: self.config.named] or [ranked[0][0]]
        shares = self._shares(model, scores[fitted], {concept: known.concepts.index(concept) for concept in named})
        weights: list[JsonValue] = [[concept, round(weight, 6)] for concept, weight in ranked]
        terms = " + ".join(f"{weight:.3g} x {concept}" for concept, weight in ranked)
        return Explanation(
            description=(
                f"The activation is about {terms} + {model.bias:.3g}, where each concept's score says how well it fits "
                f"the image; on {len(held)} images that were not fitted, that correlates with the activation at "
                f"{simulated:.2f}."
            ),
            labels=tuple(named),
            strengths=shares if self.config.strengths else (),
            details={
                "concepts": known.source,
                "pool": measured.pool,
                "weights": weights,
                "bias": model.bias,
                "correlation": simulated,
                "fitted": len(fitted),
                "held_out": len(held),
            },
        )

    @staticmethod
    def _shares(model: linear.Model, scores: linear.Floats, columns: dict[str, int]) -> tuple[float, ...]:
        """Returns what an image that shows a concept adds to the activation, as a share of what the strongest adds.

        An image shows a concept where its score is at the 99th percentile instead of the median.
        """
        weights = dict(zip(model.columns, model.weights, strict=True))
        added = [
            weights[c] * float(np.quantile(scores[:, c], 0.99) - np.median(scores[:, c])) for c in columns.values()
        ]
        highest = max(added)
        return tuple(min(1.0, max(0.01, value / highest)) for value in added) if highest > 0 else ()
