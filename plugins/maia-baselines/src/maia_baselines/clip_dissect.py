"""The explainer `clip-dissect`: the one concept of a set that fits a unit's highest images best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from maia_baselines import dissect
from maia_baselines.activations import Measured, PoolOptions, measure
from maia_baselines.never import never_active
from maia_baselines.scores import ConceptOptions, ConceptScores, concept_scores
from maia_core.plugin import Explanation, RunContext, System

LISTED_CONCEPTS = 10
"""Concepts that the details list."""


class ClipDissect:
    """Chooses the concept with the highest soft-WPMI (CLIP-Dissect, Oikarinen and Weng 2023)."""

    class Config(ConceptOptions, PoolOptions):
        """Concepts and their scores, pooling, and the method's own numbers."""

        top: int | None = Field(None, gt=0)
        """Number of highest images [default: the published 100, or 2 % of a smaller data set, at least 15]."""
        scale: float = Field(dissect.SCALE, gt=0)
        """Factor of the scores before the softmax over concepts."""
        prior_weight: float = Field(1.0, ge=0)
        """Weight of what is common to all units."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.config = config

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains one unit by one concept; `details` has the best ten and their soft-WPMI."""
        measured = measure(unit, context, self.config.pool)
        if measured.constant:
            return never_active(unit, context.dataset)
        known = concept_scores(self.config, context)
        chances = dissect.probabilities(known.scores[measured.places], self.config.scale)
        count = min(self.config.top or dissect.highest(len(measured.values)), len(measured.values))
        own = dissect.log_likelihood(chances, dissect.ranked(measured.values[:, None], count))[0]
        prior = (
            dissect.average_prior(chances, count)
            if measured.layer is None
            else dissect.log_prior(chances, dissect.ranked(measured.layer, count))
        )
        fits = dissect.soft_wpmi(own, prior, self.config.prior_weight)
        return self._explanation(known, fits, count, measured, context)

    def _explanation(
        self, known: ConceptScores, fits: NDArray[np.float64], count: int, measured: Measured, context: RunContext
    ) -> Explanation:
        order = np.argsort(-fits, kind="stable")[:LISTED_CONCEPTS]
        best: list[JsonValue] = [[known.concepts[i], round(float(fits[i]), 4)] for i in order]
        label = known.concepts[order[0]]
        alone = measured.layer is None
        description = (
            f"Of {len(known.concepts)} concepts, '{label}' fits the {count} images of {context.dataset.name} that "
            f"activate the unit most better than it fits those of {'an average unit' if alone else 'its layer'}."
        )
        details: dict[str, JsonValue] = {"concepts": known.source, "images": count, "pool": measured.pool, "best": best}
        return Explanation(description=description, labels=(label,), details=details)
