"""The explainer `clip-dissect`: the one concept of a set that fits a unit's highest images best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from maia_baselines import dissect
from maia_baselines.activations import Measured, measure
from maia_baselines.never import never_active
from maia_baselines.scores import ConceptOptions, ConceptScores, concept_scores
from maia_core.plugin import Explanation, RunContext, System

UNITS = 512
"""Units of a layer that the prior is made of, at most."""

DRAWS = 256
"""Random sets of images that the prior of a unit without a layer is made of."""

NAMED = 10
"""Concepts that the details list."""


class ClipDissect:
    """Chooses the concept with the highest soft-WPMI (CLIP-Dissect, Oikarinen and Weng 2023)."""

    class Config(ConceptOptions):
        """Which concepts, scored by what, and the method's own numbers."""

        top: int | None = Field(None, gt=0)
        """How many of the highest images count; if not set, the published 100, or 2 % of a smaller data set, at least
        15."""
        scale: float = Field(dissect.SCALE, gt=0)
        """Factor of the scores before the softmax over concepts."""
        prior_weight: float = Field(1.0, ge=0)
        """Weight of what is common to all units."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.config = config

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains one unit by one concept; `details` has the best ten and their soft-WPMI."""
        measured = measure(unit, context)
        if measured.constant:
            return never_active(unit, context.dataset)
        known = concept_scores(self.config, context)
        chances = dissect.probabilities(known.scores[measured.places], self.config.scale)
        count = min(self.config.top or dissect.highest(len(measured.values)), len(measured.values))
        own = dissect.log_likelihood(chances, dissect.ranked(measured.values[:, None], count))[0]
        prior = dissect.log_prior(dissect.log_likelihood(chances, self._others(measured, count, context.seed)))
        fits = dissect.soft_wpmi(own, prior, self.config.prior_weight)
        return self._explanation(known, fits, count, context)

    def _others(self, measured: Measured, count: int, seed: int) -> NDArray[np.intp]:
        """Returns the highest images of units to compare with: the layer's, or units that respond at random."""
        rng = np.random.default_rng(seed)
        if measured.layer is None:
            images = len(measured.values)
            return np.stack([rng.permutation(images)[:count] for _ in range(DRAWS)])
        layer = measured.layer
        active = np.flatnonzero(layer.max(0) > layer.min(0))
        if len(active) > UNITS:
            active = np.sort(rng.choice(active, UNITS, replace=False))
        return dissect.ranked(layer[:, active], count)

    def _explanation(
        self, known: ConceptScores, fits: NDArray[np.float64], count: int, context: RunContext
    ) -> Explanation:
        order = np.argsort(-fits, kind="stable")[:NAMED]
        best: list[JsonValue] = [[known.concepts[i], round(float(fits[i]), 4)] for i in order]
        label = known.concepts[order[0]]
        description = (
            f"Of {len(known.concepts)} concepts, '{label}' fits the {count} images of {context.dataset.name} that "
            "activate the unit most better than it fits those of other units."
        )
        details: dict[str, JsonValue] = {"concepts": known.source, "images": count, "best": best}
        return Explanation(description=description, labels=(label,), details=details)
