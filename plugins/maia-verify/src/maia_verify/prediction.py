"""The headline of a verdict: how well the answer predicts activations, against noise and trivial labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maia_core.plugin import Judge, Prediction
from maia_labels.canonical import canonical
from maia_labels.content import content_of, shows
from maia_stats import Interval, average_precision_interval, pearson_interval
from maia_verify.claims import Claims
from maia_verify.fresh import Group

TRIVIAL = ("animals", "plants", "food", "vehicles", "objects", "landscapes")
"""Labels that say next to nothing about a unit; one that covers the answer is not trivial for it."""

LEVEL = 0.95
"""Confidence of the intervals."""


class Predictor:
    """Predicts images from an answer and from trivial labels; asks a judge once about each image."""

    def __init__(self, judge: Judge, claims: Claims) -> None:
        self._judge = judge
        self._known: dict[tuple[str, str], float] = {}
        self.label = claims.label
        # A judge that asks a model costs a call for each label.
        free = getattr(judge, "predicts_for_free", False)
        covering = [content_of(thing) for claim in claims.each for thing in claim.things]
        self.trivial = tuple(
            label
            for label in (TRIVIAL if free else ())
            if not any(shows(content_of(canonical(label)), thing) == 1 for thing in covering)
        )

    def predict(self, groups: Sequence[Group], label: str = "") -> list[float]:
        """Returns the mean prediction of each group's images, by the answer or by another label."""
        label = label or self.label
        images = {probe.image.id: probe.image for group in groups for probe in group.probes}
        new = {name: image for name, image in images.items() if (label, name) not in self._known}
        shown = [(image.clean or image).anonymous() for image in new.values()]
        values = self._judge.predict(label, shown) if shown else []
        self._known |= {(label, name): value for name, value in zip(new, values, strict=True)}
        return [float(np.mean([self._known[label, p.image.id] for p in group.probes])) for group in groups]

    def prediction(self, on: str, groups: Sequence[Group], level: float, seed: int) -> Prediction | None:
        """Returns how well the answer predicts groups; None where their activations do not vary."""
        measured = [group.mean for group in groups]
        predicted = self.predict(groups)
        correlation = pearson_interval(predicted, measured, LEVEL, seed)
        if correlation is None:
            return None
        trivial = {label: _correlation(self.predict(groups, label), measured) for label in self.trivial}
        best = max(trivial, key=lambda label: trivial[label], default="")
        active = [value >= level for value in measured]
        return Prediction(
            on=on,
            images=len(groups),
            pearson=correlation,
            average_precision=average_precision_interval(predicted, active, LEVEL, seed),
            ceiling=noise_ceiling(groups),
            trivial=max(trivial.get(best, 0.0), 0.0),
            trivial_label=best if trivial.get(best, 0.0) > 0 else "anything",
            points=tuple(zip(predicted, measured, strict=True)),
        )


def _correlation(predicted: Sequence[float], measured: Sequence[float]) -> float:
    found: Interval | None = pearson_interval(predicted, measured, LEVEL, 0)
    return found.value if found else 0.0


def noise_ceiling(groups: Sequence[Group]) -> float | None:
    """Returns the correlation with the means of replicates that a perfect prediction of each prompt would reach.

    The mean of m replicates has the noise variance of one divided by m. The share of the variance of all means that is
    not noise is their reliability, and its square root the ceiling (classical test theory, Lord and Novick 1968). A
    prompt of one image has the mean noise of the replicated ones.
    """
    replicates = [[probe.activation for probe in group.probes] for group in groups]
    noise = {n: float(np.var(values, ddof=1)) for n, values in enumerate(replicates) if len(values) > 1}
    total = float(np.var([np.mean(values) for values in replicates], ddof=1)) if len(noise) >= 3 else 0.0
    if not total:
        return None
    usual = float(np.mean([*noise.values()]))
    share = float(np.mean([noise.get(n, usual) / len(values) for n, values in enumerate(replicates)])) / total
    return float(np.sqrt(max(1 - share, 0.0)))
