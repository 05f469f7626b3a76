"""Findings: as an answer lists them, and as a record holds them."""

from __future__ import annotations

import pytest

from maia_bias import Finding, findings_of, read_findings, write_findings
from maia_bias.findings import FINDINGS, to_json
from maia_core.plugin import Explanation, RunOutcome, Verdict


def test_a_list_is_read_in_the_forms_that_backbones_write():
    text = "1. **Lower**: on snow | about -0.3\n- higher: next to a ball | 0.12 of probability\n* lower – small"
    assert [(f.direction, f.subgroup, f.effect) for f in read_findings(text)] == [
        ("lower", "on snow", -0.3),
        ("higher", "next to a ball", 0.12),
        ("lower", "small", None),
    ]


@pytest.mark.parametrize("text", ["none", "None.", "**No bias found**", ""])
def test_no_bias_is_an_answer(text: str):
    assert read_findings(text) == []


@pytest.mark.parametrize(
    "text", ["snow makes it worse", "lower:", "lower: | 0.3", "none\nlower: on snow\nand that is all"]
)
def test_a_line_in_another_form_is_quoted(text: str):
    with pytest.raises(ValueError, match="not a finding: "):
        read_findings(text)


def test_what_is_written_is_read_back():
    findings = [
        Finding(subgroup="on snow", direction="lower", effect=-0.25),
        Finding(subgroup="red", direction="higher"),
    ]
    assert read_findings(write_findings(findings)) == findings
    assert read_findings(write_findings([])) == []


def test_a_run_gives_its_findings_as_the_verifier_tested_them():
    claimed = Finding(subgroup="on snow", direction="lower")
    tested = claimed.model_copy(
        update={"effect": -0.2, "low": -0.3, "high": -0.1, "p": 0.001, "pairs": 24, "status": "verified"}
    )
    explanation = Explanation(description="", labels=("on snow",), details={FINDINGS: to_json([claimed])})
    verdict = Verdict(passed=True, summary="", details={FINDINGS: to_json([tested])})
    outcome = RunOutcome(status="answered", explanation=explanation)
    assert findings_of(outcome) == [claimed]
    again = RunOutcome.model_validate_json(outcome.model_copy(update={"verdict": verdict}).model_dump_json())
    assert findings_of(again) == [tested]
    assert findings_of(RunOutcome(status="failed")) == []
