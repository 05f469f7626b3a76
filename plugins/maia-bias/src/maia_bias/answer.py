"""The answer of both tasks: a text and a list of findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel

from maia_bias.findings import FINDINGS, Finding, read_findings, to_json
from maia_bias.merging import merge_findings
from maia_bias.pairs import SUBJECT, summary
from maia_core.plugin import Explanation, PluginRef, ReplyError, RunContext, RunOutcome
from maia_runs import same_by
from maia_standard.blind import HidesNames

NO_BIAS = "no bias found"
"""The label of an answer without findings."""


TESTED = """

MAIA tests each finding on matched pairs of fresh images, which differ in the subgroup's attribute and in nothing else.
It drops the findings that do not hold, so do not list a finding that your own experiments do not support."""

TOOLS = tuple(
    PluginRef(name=name)
    for name in (
        *("class_exemplars", "text2image", "edit_images", "describe_images", "summarize_images"),
        *("log_experiment", "results", "display"),
    )
)


class BiasAnswer(BaseModel):
    """What an answer says about a model's response to a class.

    Attributes:
        answer: In one or more sentences.
        findings: The subgroups of the class on which the response is higher or lower; none where there is no bias.
        subject: Name of the class; empty where an answer of the task `question` is about no single class.
    """

    answer: str
    findings: list[Finding]
    subject: str = ""


class AnswersWithFindings(HidesNames):
    """The parts that the tasks `bias` and `question` share."""

    answer = BiasAnswer
    verifiable = True
    defaults: ClassVar = {"verifier": PluginRef(name="matched-pairs"), "tools": TOOLS}

    def explanation(self, answer: BaseModel) -> Explanation:
        """See `maia_core.protocols.Task`."""
        assert isinstance(answer, BiasAnswer)
        labels = tuple(finding.words for finding in answer.findings)
        return Explanation(
            description=answer.answer,
            labels=labels or (NO_BIAS,),
            details={SUBJECT: answer.subject, FINDINGS: to_json(answer.findings)},
        )

    def merged(self, outcomes: Sequence[RunOutcome], context: RunContext) -> Explanation:
        """Makes one explanation of several runs: their findings, joined by meaning and tested on all their pairs."""
        answered = [outcome.explanation for outcome in outcomes if outcome.explanation is not None]
        findings = merge_findings(outcomes, same_by(context.part("judge")))
        named = dict.fromkeys(str(each.details.get(SUBJECT) or "") for each in answered)
        subjects = [name for name in named if name or any(not finding.subject for finding in findings)] or [""]
        single = len(subjects) == 1
        by_class = [(name, [finding for finding in findings if finding.subject == name]) for name in subjects]
        texts = [
            ("" if single else f"{name or 'No class'}: ") + (summary(own) if own else "No bias found.")
            for name, own in by_class
        ]
        # A claim that no run could test is neither shown nor refuted.
        standing = [f for status in ("verified", "untested") for f in findings if f.status == status]
        shown = [finding for finding in standing if finding.status == standing[0].status]
        return Explanation(
            description=f"{len(answered)} of {len(outcomes)} runs answered. " + "\n".join(texts),
            labels=tuple(("" if single else f"{f.subject}: ") + f.words for f in shown) or (NO_BIAS,),
            details={SUBJECT: subjects[0] if single else "", FINDINGS: to_json(findings)},
        )


def text_and_findings(sections: Mapping[str, list[str]]) -> tuple[str, list[Finding]]:
    """Returns the text and the findings of an answer's sections.

    Raises:
        ReplyError: a section is missing, a line is not a finding, or two findings contradict each other.
    """
    answer = " ".join(" ".join(sections.get("ANSWER", [])).split())
    listed = "\n".join(sections.get("FINDINGS", []))
    for tag, text in (("ANSWER", answer), ("FINDINGS", listed.strip())):
        if not text:
            raise ReplyError(
                f"The final answer lacks [{tag}]:. It needs [ANSWER]: with text, and [FINDINGS]: with one finding per "
                "line, or with the word none."
            )
    try:
        findings = read_findings(listed)
    except ValueError as error:
        raise ReplyError(
            f"Under [FINDINGS]: write one finding per line as `<higher or lower>: <subgroup> | <size>`, or only the "
            f"word none; {error}"
        ) from error
    stated: dict[str, str] = {}
    for finding in findings:
        key = finding.subgroup.casefold()
        if stated.setdefault(key, finding.direction) != finding.direction:
            raise ReplyError(f"The findings contradict each other: '{finding.subgroup}' is both higher and lower.")
    return answer, list({(f.subgroup.casefold(), f.direction): f for f in findings}.values())
