"""The verdict in words: for the report, for the terminal, and for a backbone that continues after it."""

from __future__ import annotations

from collections.abc import Sequence

from maia_core.plugin import Check, Prediction, Verdict
from maia_stats import Interval, against_bar
from maia_verify.fresh import Group

MAX_LISTED = 12
"""Conditions of one kind that are listed."""

NAMES = {
    "control": "other things",
    "near miss": "near misses",
    "candidate": "things to replace it with",
    "left out": "what the labels leave out",
}
"""What the conditions are called where their name is not what they show."""


def summary(verdict: Verdict, groups: Sequence[Group], untested: Sequence[str]) -> str:
    """Returns the verdict as a table, failures first; of a failed one also what was measured, after an empty line."""
    lines = [predicted(prediction) for prediction in verdict.predictions]
    lines += [one(check) for check in verdict.checks]
    lines += [f"Not tested: {why}." for why in dict.fromkeys(untested)]
    lines += verdict.notes
    if not verdict.passed:
        lines.append("")
        for name in dict.fromkeys(group.condition for group in groups if group.text):
            lines.append(f"Measured, {NAMES.get(name, name)}:")
            shown = [group for group in groups if group.condition == name]
            lines += [f'- "{_text(group)}": {_values(group)}' for group in _extremes(shown)]
    return "\n".join(lines)


def predicted(prediction: Prediction) -> str:
    """Returns how well the answer predicts, as a line."""
    value, low, high = prediction.pearson
    parts = [f"correlation {value:.2f}, {low:.2f} to {high:.2f}"]
    if prediction.average_precision is not None:
        precision, bottom, top = prediction.average_precision
        parts.append(f"average precision {precision:.2f}, {bottom:.2f} to {top:.2f}")
    if prediction.ceiling is not None:
        parts.append(f"noise ceiling {prediction.ceiling:.2f}")
    parts.append(f"best trivial label '{prediction.trivial_label}': {prediction.trivial:.2f}")
    images = "prompts" if prediction.on == "generated" else "images"
    return f"The answer predicts {prediction.images} {prediction.on} {images}: {'; '.join(parts)}."


def one(check: Check) -> str:
    """Returns one check as a line."""
    interval = Interval(check.effect, check.low, check.high)
    effect, low, high, needed = against_bar(interval, check.required, check.measure == "share")
    state = "FAILS" if check.failed else "Undecided" if check.undecided else "Holds"
    return f"{state}: {check.claim} ({check.measure} {effect}, {low} to {high}; at least {needed} is needed)."


def _text(group: Group) -> str:
    return f"{group.original.text}: {group.text}" if group.original else group.text


def _values(group: Group) -> str:
    return ", ".join(f"{probe.activation:.4g}" for probe in group.probes)


def _extremes(groups: Sequence[Group]) -> list[Group]:
    """Returns the highest and the lowest, highest first."""
    ordered = sorted(groups, key=lambda group: -group.mean)
    return ordered if len(ordered) <= MAX_LISTED else [*ordered[: MAX_LISTED // 2], *ordered[-MAX_LISTED // 2 :]]
