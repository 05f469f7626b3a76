"""Whether the matched pairs of a finding show it: the effect, the p-value, and the reason to drop the finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from maia_stats import PairedDifference, holm, paired_difference

LEVEL = 0.05
"""All findings of a run together are false with at most this probability."""

MIN_PAIRS = 8
"""Fewer pairs than this do not test a part of a finding."""

Differences = Mapping[str, Sequence[float]]
"""Response with the attribute less without it, of every pair, by the part of the subgroup that the pair tests."""


def level_of(attempt: int) -> float:
    """Returns the level of the `attempt`th answer of a run, from 1: the levels of all answers add up to 0.05."""
    return float(LEVEL / 2**attempt)


def effects_of(findings: Sequence[Differences]) -> list[tuple[PairedDifference, float]]:
    """Returns the effect of each finding over all its pairs, and its p-value after Holm's correction over all findings.

    Every part of a subgroup must hold, so the largest p-value of the parts counts (an intersection-union test, Berger
    1982).
    """
    effects = [paired_difference([value for part in each.values() for value in part]) for each in findings]
    largest = [max(paired_difference(p).p if len(p) > 1 else 1.0 for p in each.values()) for each in findings]
    return list(zip(effects, holm(largest), strict=True))


def why_dropped(direction: str, differences: Differences, p: float, level: float, findings: int, pairs: str) -> str:
    """Returns why a finding does not hold; empty where it holds.

    Args:
        direction: The claimed one, `higher` or `lower`; every part must have it.
        differences: Those of its pairs.
        p: Its corrected p-value.
        level: The largest p-value with which a finding holds.
        findings: Over how many findings p is corrected.
        pairs: What the pairs are called, such as "the pairs".
    """
    if p > level:
        corrected = f" after correction for {findings} findings" if findings > 1 else ""
        return f"{pairs} do not show it (p = {p:.2g}{corrected}; at most {level:.2g} is needed)"
    sign = 1 if direction == "higher" else -1
    opposite = [part for part, values in differences.items() if np.mean(values) * sign < 0]
    if len(opposite) == len(differences) or np.mean([v for part in differences.values() for v in part]) * sign < 0:
        return f"{pairs} show the opposite"
    return f"{pairs} show the opposite for a part of it: {', '.join(opposite)}" if opposite else ""
