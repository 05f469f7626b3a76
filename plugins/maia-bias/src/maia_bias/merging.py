"""Merges the findings of several runs of one model by their verified effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from maia_bias.attributes import read_attribute
from maia_bias.findings import Finding, findings_of
from maia_bias.pairs import LEVEL, PAIRS
from maia_core.plugin import RunOutcome
from maia_stats import holm, paired_difference

Same = Callable[[str, str], bool]


class MergedFinding(Finding):
    """A finding of several runs.

    Attributes:
        runs: How many runs claim it.
        verified_in: How many of them verified it.
    """

    runs: int
    verified_in: int


class _Tested(NamedTuple):
    """A finding of one run, and the difference of each of its matched pairs: inside of the subgroup less outside."""

    run: int
    finding: Finding
    differences: Sequence[float]


def merge_findings(subject: str, outcomes: Sequence[RunOutcome], same: Same) -> list[MergedFinding]:
    """Joins the findings of several runs that mean the same, and tests each on the pairs of all its runs.

    Pairs count whether or not a run verified the finding: only the lucky runs would overstate the effect. The pooled
    effect is the mean difference of all pairs with Student's 95 % interval, its sign is the direction, and Holm's
    correction holds over the merged list.

    Args:
        subject: Name of the class.
        outcomes: How the runs ended.
        same: Tells whether two subgroups mean the same in words.
    """
    groups: list[list[_Tested]] = []
    for tested in _tested(outcomes):
        known = (g for g in groups if _alike(subject, g[0].finding.subgroup, tested.finding.subgroup, same))
        group = next(known, None)
        if group is None:
            groups.append([tested])
        else:
            group.append(tested)
    pooled = [[value for each in group for value in each.differences] for group in groups]
    effects = [paired_difference(values) if len(values) > 1 else None for values in pooled]
    adjusted = iter(holm([effect.p for effect in effects if effect is not None]))
    merged = []
    for group, values, effect in zip(groups, pooled, effects, strict=True):
        claim = group[0].finding
        counts = {
            "runs": len({each.run for each in group}),
            "verified_in": len({each.run for each in group if each.finding.status == "verified"}),
        }
        if effect is None:
            merged.append(MergedFinding(**{**claim.model_dump(), **counts, "pairs": 0, "status": "untested"}))
            continue
        p = next(adjusted)
        holds = p <= LEVEL
        merged.append(
            MergedFinding(
                subgroup=claim.subgroup,
                direction="higher" if effect.mean > 0 else "lower",
                effect=effect.mean,
                low=effect.low,
                high=effect.high,
                p=p,
                pairs=len(values),
                status="verified" if holds else "dropped",
                reason="" if holds else f"the pairs of all runs do not show it (p = {p:.2g})",
                **counts,
            )
        )
    return sorted(merged, key=lambda each: (each.status != "verified", -each.runs, -abs(each.effect or 0.0)))


def _alike(subject: str, one: str, other: str, same: Same) -> bool:
    """Tells whether two subgroups name the same attributes, or where one is not understood, say the same in words."""
    a, b = read_attribute(subject, one), read_attribute(subject, other)
    if a and b:
        return {frozenset(each) for each in a} == {frozenset(each) for each in b}
    return same(one, other)


def _tested(outcomes: Sequence[RunOutcome]) -> Iterator[_Tested]:
    for run, outcome in enumerate(outcomes):
        pairs: Any = outcome.verdict.details.get(PAIRS) if outcome.verdict else None
        listed = pairs if isinstance(pairs, list) else []
        for place, finding in enumerate(findings_of(outcome)):
            own = listed[place] if place < len(listed) else []
            yield _Tested(run, finding, [inside - outside for inside, outside in own])
