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
            ceiling=_ceiling(groups),
            trivial=max(trivial.get(best, 0.0), 0.0),
            trivial_label=best if trivial.get(best, 0.0) > 0 else "anything",
            points=tuple(zip(predicted, measured, strict=True)),
        )


def _correlation(predicted: Sequence[float], measured: Sequence[float]) -> float:
    found: Interval | None = pearson_interval(predicted, measured, LEVEL, 0)
    return found.value if found else 0.0


def _ceiling(groups: Sequence[Group]) -> float | None:
    """Returns the correlation with the means of replicates that a perfect prediction of each prompt would reach.

    The correlation of two replicates is their reliability; that of a mean of m follows by Spearman and Brown (1910),
    and its square root is the ceiling.
    """
    replicated = [group for group in groups if len(group.probes) > 1]
    first, second = ([group.probes[n].activation for group in replicated] for n in (0, 1))
    if len(replicated) < 3 or pearson_interval(first, second, LEVEL, 0) is None:
        return None
    count, one = min(len(group.probes) for group in replicated), max(_correlation(first, second), 0.0)
    return float(np.sqrt(count * one / (1 + (count - 1) * one)))
