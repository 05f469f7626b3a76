"""Checks: effects with intervals, decided together so that no answer passes or fails by luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from maia_core.plugin import Check, Probe
from maia_stats import Interval, auc_interval, wilson

ERROR = 0.05
"""Probability that any of the checks of one look fails by chance."""

MAX_CULPRITS = 4
"""Images of one failed check that the backbone and the report see first."""


@dataclass(frozen=True)
class Draft:
    """A check before the number of checks is known: positives against controls, or hits of a number.

    Attributes:
        claim: What is tested, in words.
        required: The effect that it needs.
        positives: For an AUC, one value per condition.
        controls: Likewise.
        hits: For a share.
        of: Likewise; 0 for an AUC.
        chance: The share that no claim at all would have.
        culprits: Images that speak against the claim, the worst first.
    """

    claim: str
    required: float
    positives: tuple[float, ...] = ()
    controls: tuple[float, ...] = ()
    hits: int = 0
    of: int = 0
    chance: float = 0.0
    culprits: tuple[Probe, ...] = ()

    def effect(self, level: float, seed: int) -> Interval:
        """Returns the effect with its interval."""
        if self.of:
            return wilson(self.hits, self.of, level)
        return auc_interval(self.positives, self.controls, level, seed)


def decide(drafts: Sequence[Draft], looks: int, seed: int) -> list[Check]:
    """Decides checks together (Holm 1979): each holds, fails, or stays undecided.

    A check fails only where its interval excludes the required effect. It holds where the effect reaches it and the
    interval excludes chance. The checks farthest from their bars are decided first, at the strictest level.

    Args:
        drafts: The checks.
        looks: How often they may be looked at in all, with more pictures each time (Bonferroni).
        seed: Random seed of the bootstrap.
    """
    first = [draft.effect(0.95, seed) for draft in drafts]
    distance = [_distance(effect, draft.required) for effect, draft in zip(first, drafts, strict=True)]
    checks: dict[int, Check] = {}
    level, open_ = 0.0, True
    for rank, number in enumerate(sorted(range(len(drafts)), key=lambda n: -distance[n])):
        if open_:
            level = 1 - ERROR / looks / (len(drafts) - rank)
        draft = drafts[number]
        effect = draft.effect(level, seed)
        open_ = open_ and (effect.low > draft.required or effect.high < draft.required)
        passed = effect.value >= draft.required and effect.low > (draft.chance if draft.of else 0.5)
        checks[number] = Check(
            claim=draft.claim,
            passed=passed,
            effect=effect.value,
            low=effect.low,
            high=effect.high,
            measure="share" if draft.of else "AUC",
            required=draft.required,
            undecided=not passed and effect.high >= draft.required,
        )
    return [checks[number] for number in range(len(drafts))]


def _distance(effect: Interval, required: float) -> float:
    """Returns how far an effect is from a bar, in standard errors."""
    z = NormalDist().inv_cdf(0.975)
    return abs(effect.value - required) / max((effect.high - effect.low) / (2 * z), 1e-9)
