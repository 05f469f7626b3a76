"""The section of a report: findings as tested; text of an answer stays text."""

from __future__ import annotations

from types import SimpleNamespace

from maia_bias import Finding
from maia_bias.findings import FINDINGS, to_json
from maia_bias.observer import report_sections
from maia_core.plugin import Explanation, RunOutcome, Verdict


def test_report_lists_findings_with_interval_status_and_reason():
    tested = Finding(
        subgroup="on snow", direction="lower", effect=-0.2, low=-0.3, high=-0.1, p=0.01, pairs=9, status="verified"
    )
    dropped = Finding(subgroup="red", direction="higher", status="untested", reason="the run has no image generator")
    details = {FINDINGS: to_json([tested, dropped])}
    outcome = RunOutcome(
        status="answered",
        explanation=Explanation(description="x", labels=("x",), details=details),
        verdict=Verdict(passed=True, summary="", details=details),
    )
    title, text = report_sections(SimpleNamespace(ended=outcome)) or ("", "")  # pyright: ignore
    assert title == "Findings"
    assert "Verified: lower on snow (-0.2, -0.3 to -0.1, 9 pairs)." in text
    assert "Not tested: higher red: the run has no image generator." in text
    assert "guesses of a model about images" in text


def test_other_runs_have_no_section():
    for outcome in (
        None,
        RunOutcome(status="failed"),
        RunOutcome(status="answered", explanation=Explanation(description="x", labels=("x",))),
    ):
        assert report_sections(SimpleNamespace(ended=outcome)) is None  # pyright: ignore
