"""Findings about a model: as an answer lists them, and as matched pairs verify them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import JsonValue

from maia_core.plugin import Data, Explanation, RunOutcome

FINDINGS = "findings"
"""Where the details of an explanation (as claimed) and of a verdict (as tested) hold the findings."""

_LINE = re.compile(r"^[\s>*+-]*(?:\d+[.)]\s+)?[*_`]*(higher|lower)[*_`]*\s*[:,–-]\s*(.+?)\s*$", re.IGNORECASE)
_SIZE = re.compile(r"^(?:about|around|by|~|≈)?\s*([+-]?\d*\.?\d+(?:e[+-]?\d+)?)\b", re.IGNORECASE)


class Finding(Data):
    """A subgroup of a class on which the model responds more, or less, than on the rest of the class.

    Attributes:
        subgroup: In words, such as "on snow" or "small and at the edge".
        direction: Whether the response is higher or lower than on images that differ only in this.
        effect: Mean difference of the matched pairs, in units of the response; the size that the answer claims before
            the test; None where there is neither.
        low: Lower end of its 95 % interval; None before the test.
        high: Upper end; None before the test.
        p: Two-sided p-value of the paired t test, corrected for the number of findings (Holm); None before the test.
        pairs: Number of matched pairs that were measured.
        written: Number of matched pairs that were written; the generator could not show the others.
        status: `verified`; `dropped`: the pairs do not show it; `untested`: no pairs could be made.
        reason: Why a finding was dropped or not tested; empty for a verified one.
    """

    subgroup: str
    direction: Literal["higher", "lower"]
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    pairs: int = 0
    written: int = 0
    status: Literal["verified", "dropped", "untested"] = "untested"
    reason: str = ""

    @property
    def words(self) -> str:
        """The finding as people read it: "higher if on snow"."""
        return f"{self.direction} if {self.subgroup}"


def read_findings(answer_text: str) -> list[Finding]:
    """Returns the findings that a list in an answer states: one per line, as `<higher or lower>: <subgroup> | <size>`.

    The size may be missing. A list that says "none" has no findings.

    Raises:
        ValueError: a line has another form; the message quotes it.
    """
    lines = [line for line in answer_text.splitlines() if line.strip()]
    if len(lines) == 1 and lines[0].strip(" .*_`").casefold() in ("none", "no bias found"):
        return []
    return [_finding(line) for line in lines]


def _finding(line: str) -> Finding:
    found = _LINE.match(line)
    subgroup, _, size = found[2].partition("|") if found else ("", "", "")
    subgroup = " ".join(subgroup.strip(" *_`").split())
    if found is None or not subgroup:
        raise ValueError(f"not a finding: {line.strip()[:80]}")
    number = _SIZE.match(size.strip())
    direction: Literal["higher", "lower"] = "higher" if found[1].casefold() == "higher" else "lower"
    return Finding(subgroup=subgroup, direction=direction, effect=float(number[1]) if number else None)


def write_findings(findings: Sequence[Finding]) -> str:
    """Returns findings as the list that `read_findings` reads."""
    lines = [f"{f.direction}: {f.subgroup}" + ("" if f.effect is None else f" | {f.effect:.4g}") for f in findings]
    return "\n".join(lines) or "none"


def findings_of(outcome: RunOutcome) -> list[Finding]:
    """Returns the findings of a run's outcome: as the verifier tested them, else as the answer claims them."""
    for details in (outcome.verdict and outcome.verdict.details, outcome.explanation and outcome.explanation.details):
        if details and FINDINGS in details:
            return _from_json(details[FINDINGS])
    return []


def claimed(explanation: Explanation) -> list[Finding]:
    """Returns the findings that an explanation claims."""
    return _from_json(explanation.details.get(FINDINGS))


def to_json(findings: Sequence[Finding]) -> JsonValue:
    """Returns findings as the details of an explanation or of a verdict hold them."""
    return [finding.model_dump(mode="json") for finding in findings]


def _from_json(value: JsonValue) -> list[Finding]:
    return [Finding.model_validate(item) for item in value] if isinstance(value, list) else []
