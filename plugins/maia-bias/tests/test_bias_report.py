"""The section of a report: findings as tested; text of an answer stays text."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

from maia_bias import Finding
from maia_bias.findings import FINDINGS, to_json
from maia_bias.observer import report_sections
from maia_core.plugin import Check, Explanation, Manifest, RunOutcome, RunWriter, UnitInfo, Verdict
from maia_report.page import render_run


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
    assert "Verified: lower if on snow (-0.2, -0.3 to -0.1, 9 pairs)." in text
    assert "Not tested: higher if red: the run has no image generator." in text
    assert "guesses of a model about images" in text


def test_other_runs_have_no_section():
    for outcome in (
        None,
        RunOutcome(status="failed"),
        RunOutcome(status="answered", explanation=Explanation(description="x", labels=("x",))),
    ):
        assert report_sections(SimpleNamespace(ended=outcome)) is None  # pyright: ignore


HOSTILE = '<script>alert("x")</script> on snow {{ 7 * 7 }} <img src=x onerror=alert(1)> ' + "very " * 2000


def test_text_of_findings_stays_text_and_stands_once(tmp_path: Path):
    claim = Finding(subgroup=HOSTILE, direction="lower", effect=-0.2)
    tested = claim.model_copy(update={"low": -0.3, "high": -0.1, "p": 0.01, "pairs": 9, "status": "dropped"})
    tested = tested.model_copy(update={"reason": "</p><script>alert(2)</script>"})
    summary = "0 of 1 finding verified by matched pairs.\nDropped: x"
    explanation = Explanation(description="x", labels=("lower if on snow",), details={FINDINGS: to_json([claim])})
    check = Check(
        claim=HOSTILE, passed=False, effect=-0.2, low=-0.3, high=-0.1, measure="mean difference", required=0.0
    )
    verdict = Verdict(passed=False, summary=summary, checks=(check,), details={FINDINGS: to_json([tested])})
    outcome = RunOutcome(status="answered", answer={"answer": "x"}, explanation=explanation, verdict=verdict)
    manifest = Manifest(
        id="20260101-120000-abcd", created=1767268800.0, config={}, seed=0, system=UnitInfo(model="net"),
        versions={}, fingerprints={},
    )  # fmt: skip
    with closing(RunWriter.create(tmp_path / "run", manifest)) as writer:
        writer.append(outcome)
    page = render_run(tmp_path / "run")
    assert "<h2>Findings</h2>" in page
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; on snow {{ 7 * 7 }}" in page
    for active in ("<script>alert", "<img src=x", "</p><script"):
        assert active not in page
    assert "More of the answer" not in page, "the claim stands once: as tested"
    assert "0 of 1 finding verified by matched pairs." in page
    assert "and on real images" not in page, "the verifier used pairs of generated images"
    assert page.count("very very") < 3000, "long text is cut"
