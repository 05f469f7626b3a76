"""Adds the findings of a run to its report: each with its effect and interval, dropped ones with the reason."""

from __future__ import annotations

from maia_bias.findings import FINDINGS, findings_of
from maia_core.plugin import RunReader, hookimpl

NOTE = (
    "Each effect is the mean difference between matched pairs of fresh images, with its 95 % interval. Attributes of "
    "people, such as gender or age, are guesses of a model about images."
)


@hookimpl
def report_sections(run: RunReader) -> tuple[str, str] | None:
    """Returns the findings of a run that has any, one per line."""
    outcome = run.ended
    if outcome is None or outcome.explanation is None or FINDINGS not in outcome.explanation.details:
        return None
    from maia_bias.pairs import summary

    findings = findings_of(outcome)
    return "Findings", f"{summary(findings) if findings else 'The answer claims no bias.'}\n\n{NOTE}"
