"""Merges the findings of several runs of one model by their verified effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import mode
from typing import Any, NamedTuple

from maia_bias.attributes import read_attribute
from maia_bias.effects import Differences, effects_of, level_of, why_dropped
from maia_bias.findings import Finding, findings_of
from maia_bias.pairs import LEVEL, PAIRS, PARTS, SUBJECT
from maia_core.plugin import RunOutcome

Same = Callable[[str, str], bool]


class MergedFinding(Finding):
    """A finding of several runs.

    Attributes:
        subject: Name of the class.
        runs: How many runs claim it.
        verified_in: How many of them verified it.
    """

    subject: str
    runs: int
    verified_in: int


class _Tested(NamedTuple):
    """A finding of one run about a class, the differences of its matched pairs, and the level of the run's test."""

    run: int
    subject: str
    finding: Finding
    differences: Differences
    level: float


def merge_findings(outcomes: Sequence[RunOutcome], same: Same) -> list[MergedFinding]:
    """Joins the findings of several runs that mean the same of one class, and tests each on the pairs of all its runs.

    Pairs count whether or not a run verified the finding: only the lucky runs would overstate the effect. The pooled
    effect is the mean difference of all pairs with Student's 95 % interval. A merged finding holds by the rules of a
    run: every part is significant in a direction that a run claims, after Holm's correction over the merged list, at
    the lowest level of the answers that claim it. So the findings of one run keep their status.

    Args:
        outcomes: How the runs ended.
        same: Tells whether two subgroups mean the same in words.
    """
    groups: list[list[_Tested]] = []
    for tested in _tested(outcomes):
        group = next((g for g in groups if _alike(g[0], tested, same)), None)
        if group is None:
            groups.append([tested])
        else:
            group.append(tested)
    pooled = [_pooled(group) for group in groups]
    effects = iter(effects_of([differences for differences in pooled if differences]))
    count = sum(map(bool, pooled))
    merged = []
    for group, differences in zip(groups, pooled, strict=True):
        effect = next(effects) if differences else None
        directions = [each.finding.direction for each in group]
        direction = mode(directions)
        update: dict[str, Any] = {"effect": None, "status": "untested", "pairs": 0}
        if effect is None:
            reasons = [each.finding.reason for each in group if each.finding.reason]
            update["reason"] = reasons[0] if reasons else "no run tested it"
        else:
            measured, p = effect
            if (shown := "higher" if measured.mean > 0 else "lower") in directions:
                direction = shown
            level = min(each.level for each in group if each.differences)
            reason = why_dropped(direction, differences, p, level, count, "the pairs of all runs")
            update = {"effect": measured.mean, "low": measured.low, "high": measured.high, "p": p, "reason": reason}
            update["status"] = "dropped" if reason else "verified"
            update["pairs"] = sum(map(len, differences.values()))
            update["written"] = sum(each.finding.written for each in group if each.differences)
        merged.append(
            MergedFinding(
                subgroup=group[0].finding.subgroup,
                direction=direction,
                subject=group[0].subject,
                runs=len({each.run for each in group}),
                verified_in=len({each.run for each in group if each.finding.status == "verified"}),
                **update,
            )
        )
    return sorted(merged, key=lambda each: (each.status != "verified", -each.runs, -abs(each.effect or 0.0)))


def _alike(one: _Tested, other: _Tested, same: Same) -> bool:
    """Tells whether two findings are about one class and name the same attributes, or say the same in words."""
    if one.subject != other.subject:
        return False
    subgroups = one.finding.subgroup, other.finding.subgroup
    a, b = (read_attribute(one.subject, subgroup) for subgroup in subgroups)
    if a and b:
        return {frozenset(each) for each in a} == {frozenset(each) for each in b}
    return same(*subgroups)


def _pooled(group: Sequence[_Tested]) -> dict[str, list[float]]:
    """Returns the differences of all runs by part; a subgroup of one part may have other words in every run."""
    whole = all(len(each.differences) <= 1 for each in group)
    pooled: dict[str, list[float]] = {}
    for each in group:
        for part, values in each.differences.items():
            pooled.setdefault("" if whole else part, []).extend(values)
    return pooled


def _tested(outcomes: Sequence[RunOutcome]) -> Iterator[_Tested]:
    for run, outcome in enumerate(outcomes):
        details: dict[str, Any] = dict(outcome.verdict.details) if outcome.verdict else {}
        subject = str(outcome.explanation.details.get(SUBJECT) or "") if outcome.explanation else ""
        level = float(details.get(LEVEL) or level_of(1))
        findings = findings_of(outcome)
        pairs = details.get(PAIRS) or [[]] * len(findings)
        # Runs of version 0.1 do not record the parts.
        parts = details.get(PARTS) or [[""] * len(each) for each in pairs]
        for finding, own, names in zip(findings, pairs, parts, strict=True):
            differences: dict[str, list[float]] = {}
            for (inside, outside), part in zip(own, names, strict=True):
                differences.setdefault(part, []).append(inside - outside)
            yield _Tested(run, subject, finding, differences, level)
