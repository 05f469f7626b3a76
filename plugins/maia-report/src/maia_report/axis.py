"""The axis that all plots of a page share, and the lines that cross them."""

from __future__ import annotations

from dataclasses import dataclass

from maia_report.plot import Scale, drawable, scale
from maia_report.summary import RunSummary


@dataclass(frozen=True)
class Reference:
    """A vertical line of every plot."""

    kind: str
    label: str
    value: float
    x: float


def axis_of(summary: RunSummary) -> Scale:
    """Returns the axis that holds every activation of a run that a page draws."""
    return scale([*_measured(summary), *_levels(summary)])


def references(summary: RunSummary, axis: Scale) -> list[Reference]:
    """Returns the lines of the plots: the exemplars' floor and what the data set's images reach."""
    lines = [
        Reference(
            f"q{quantile.percent}", _quantile_name(quantile.percent), quantile.activation, axis.x(quantile.activation)
        )
        for quantile in summary.quantiles
        if quantile.percent in ("50", "95", "99") and drawable([quantile.activation])
    ]
    if summary.bar is not None and drawable([summary.bar]):
        lines.append(Reference("floor", "lowest exemplar", summary.bar, axis.x(summary.bar)))
    return lines


def _measured(summary: RunSummary) -> list[float]:
    shown = [activation for activation, _ in summary.exemplars]
    shown += [probe.activation for probe in summary.verdict.probes] if summary.verdict else []
    shown += [activation for condition in summary.all_conditions for activation in condition.activations]
    return drawable(shown + [activation for evidence in summary.evidence for activation in evidence.activations])


def _levels(summary: RunSummary) -> list[float]:
    floor = [] if summary.bar is None else [summary.bar]
    return drawable(floor + [quantile.activation for quantile in summary.quantiles])


def _quantile_name(percent: str) -> str:
    return "median of the data set" if percent == "50" else f"{percent} % of the data set lie below"
