"""What a page shows of the evidence: plots of conditions, the exemplars, and both in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maia_core.plugin import Evidence, Image
from maia_report.conditions import Condition
from maia_report.plot import Scale, Strip, strip
from maia_report.summary import RunSummary
from maia_report.text import clean, number

MAX_EXEMPLARS = 15
"""Exemplars beside the claim."""

PLOTTED_CONDITIONS = (12, 6)
"""How many conditions a plot shows from the top and from the bottom."""


@dataclass(frozen=True)
class Row:
    """One condition of a plot."""

    condition: Condition
    strip: Strip


@dataclass(frozen=True)
class Plot:
    """A plot of conditions: the rows from the top, how many are left out, and the rows from the bottom."""

    top: Sequence[Row]
    between: int
    bottom: Sequence[Row]


@dataclass(frozen=True)
class Exemplars:
    """The exemplars beside the claim: those that activate the unit, those that do not, and the note about them."""

    active: Sequence[tuple[float, Image]]
    idle: Sequence[tuple[float, Image]]
    text: str


def plot_of(conditions: Sequence[Condition], axis: Scale) -> Plot:
    """Lays out a plot: the conditions with the highest means, and those with the lowest."""
    first, last = PLOTTED_CONDITIONS
    between = max(0, len(conditions) - first - last)
    rows = [Row(c, strip(c.activations, axis)) for c in [*conditions[:first], *conditions[first + between :]]]
    return Plot(rows[:first], between, rows[first:])


def lead_of(summary: RunSummary) -> str:
    """Sums up the evidence in figures alone: what reaches the exemplars, what is highest and what is lowest."""
    tested = [condition for condition in summary.all_conditions if not condition.exemplars]
    if not tested:
        return "No condition beside the exemplars was logged."
    count = f"{len(tested)} condition{'s' if len(tested) != 1 else ''}"
    if summary.constant:
        return f"{count} tested, and nothing activated the unit: {number(tested[0].mean)} on every image."
    best, worst = tested[0], tested[-1]
    parts = [f"Highest is “{clean(best.title, 80)}” with a mean of {number(best.mean)}"]
    if worst is not best:
        parts.append(f"lowest “{clean(worst.title, 80)}” with {number(worst.mean)}")
    if summary.bar is not None:
        reach = sum(condition.mean >= summary.bar for condition in tested)
        return (
            f"{reach} of {count} reach the exemplars: a mean of at least {number(summary.bar)}, the lowest exemplar’s "
            f"activation. {', '.join(parts)}."
        )
    if summary.floor is None or summary.rest is None:
        return f"{count} tested. {', '.join(parts)}."
    active = sum(summary.activates(condition.mean) for condition in tested)
    if not active:
        return f"None of {count} activates the unit: the highest mean is {number(best.mean)}."
    return f"{active} of {count} activate the unit: a mean above {number(summary.rest)}. {', '.join(parts)}."


def exemplars_of(summary: RunSummary) -> Exemplars:
    """Parts the exemplars that activate the unit from those that fill up the number, and says how many do."""
    shown = summary.exemplars[:MAX_EXEMPLARS]
    active = [pair for pair in shown if summary.activates(pair[0])]
    idle = [pair for pair in shown if not summary.activates(pair[0])]
    highest = f"the data set’s {len(shown)} highest images" if len(shown) != 1 else "the data set’s highest image"
    if not idle:
        text = highest[0].upper() + highest[1:]
    elif not active:
        text = f"No image of the data set activates the unit: {number(idle[0][0])} on its highest"
    else:
        text = f"{len(active)} of {highest} activate{'s' if len(active) == 1 else ''} the unit"
    return Exemplars(active, idle, text)


def stated_condition(evidence: Evidence) -> Condition:
    """Returns what an explanation states without images as a condition."""
    return Condition(evidence.condition, (), expected=evidence.expected, stated=evidence.activations)
