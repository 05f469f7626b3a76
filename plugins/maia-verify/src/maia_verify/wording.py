"""The verdict in words: for the report, and for a backbone that continues after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maia_core.plugin import Check
from maia_verify.probing import Group

MAX_LISTED = 12
"""Conditions of one kind that are listed."""


def summary(checks: Sequence[Check], groups: Mapping[str, Sequence[Group]], untested: Sequence[str]) -> str:
    """Says which checks held, then what was measured."""
    lines = [one(check) for check in checks]
    lines += [f"Not tested: {why}." for why in untested]
    if not all(check.passed for check in checks):
        for name, made in groups.items():
            lines.append(f"Measured, {name}:")
            lines += [f'- "{group.text}": {_values(group)}' for group in _extremes(made)]
    return "\n".join(lines)


def one(check: Check) -> str:
    """Returns one check as a line."""
    size = f"{check.effect:.2f}" if check.measure == "AUC" else f"{check.effect:.0%}"
    ends = f"{check.low:.2f} to {check.high:.2f}" if check.measure == "AUC" else f"{check.low:.0%} to {check.high:.0%}"
    needed = f"{check.required:.2f}" if check.measure == "AUC" else f"{check.required:.0%}"
    verdict = "Holds" if check.passed else "FAILS"
    return f"{verdict}: {check.claim} ({check.measure} {size}, {ends}; at least {needed} is needed)."


def _values(group: Group) -> str:
    return ", ".join(f"{probe.activation:.4g}" for probe in group.probes)


def _extremes(groups: Sequence[Group]) -> list[Group]:
    """Returns the highest and the lowest, highest first."""
    ordered = sorted(groups, key=lambda group: -group.mean)
    return ordered if len(ordered) <= MAX_LISTED else [*ordered[: MAX_LISTED // 2], *ordered[-MAX_LISTED // 2 :]]
