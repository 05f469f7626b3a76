"""Scores the findings of an answer against a planted truth: by a strict list of words, and by fresh images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from maia_bias.attributes import read_attribute
from maia_bias.drawing import write_pairs
from numpy.typing import NDArray

from maia_bias import Finding
from maia_bias.findings import FINDINGS
from maia_core.plugin import Judge, System
from maia_eval.bias_results import Share, Verdict
from maia_eval.images import ImageClient, measured
from maia_planted.attributes import OPPOSITE, VALUES, WORDS, Attribute
from maia_planted.subjects import Subject

PROMPTS = 10
"""Fresh prompts for each side."""

DISTRACTORS = 5
"""Truths of other models that the judge compares with."""

_NEGATION = re.compile(r"\b(?:not|no|non|without|never|except|outside|other than|away from|anything but)\b")


def read_all(details: Mapping[str, Any]) -> tuple[list[Finding], list[int]]:
    """Returns the findings in an explanation's details, and the numbers of those that the answer stands by."""
    verdict = details.get("verdict")
    tested = verdict.get("details", {}).get(FINDINGS) if isinstance(verdict, dict) else None
    stated = details.get(FINDINGS)
    findings = [Finding.model_validate(each) for each in tested or stated or []]
    return findings, [n for n, each in enumerate(findings) if not tested or each.status == "verified"]


def mentioned(text: str) -> list[tuple[Attribute, bool]]:
    """Returns the attributes that a text names by an accepted word, and whether the text says that they are absent."""
    text = text.casefold()
    found = []
    for kind, values in VALUES.items():
        for value in values:
            word = re.search(rf"\b(?:{'|'.join(map(re.escape, WORDS[value]))})\b", text)
            if word:
                found.append((Attribute(kind=kind, value=value), bool(_NEGATION.search(text[: word.start()]))))
    return found


def names(finding: Finding, attribute: Attribute) -> bool:
    """Tells whether a finding says that the score is higher with an attribute, or lower without it.

    It must use an accepted word, and must not name another value of the same attribute ("on snow or sand").
    """
    same = [(each.value, absent) for each, absent in mentioned(finding.subgroup) if each.kind == attribute.kind]
    if len(same) != 1:
        return False
    value, absent = same[0]
    raises = (finding.direction == "higher") != absent
    return value == (attribute.value if raises else OPPOSITE.get(attribute.value))


def verdict(subject: Subject, findings: Sequence[Finding], answered: bool) -> tuple[Verdict, int]:
    """Returns how the reported findings of an answer do, and how many of them name nothing that was planted."""
    wrong = sum(not any(names(finding, attribute) for attribute in subject.attributes) for finding in findings)
    if not answered:
        return "no answer", 0
    if not subject.attributes:
        return ("false alarm" if findings else "clear"), wrong
    named = [any(names(finding, attribute) for finding in findings) for attribute in subject.attributes]
    return ("named" if all(named) else "partly" if any(named) else "missed"), wrong


def on_side(
    concept: str, findings: Sequence[Finding], system: System, client: ImageClient, levels: NDArray[np.float64]
) -> Share:
    """Returns how many fresh images fall on the side that the findings predict.

    Ten prompts show a subgroup and ten lack it, in turn for each finding. The sides are parted halfway between the
    means of the lowest and the highest quarter of the class's held-out images.

    Args:
        concept: The class.
        findings: Those that the answer reports.
        system: Measures the images.
        client: Draws them.
        levels: Scores of the class's held-out images.
    """
    prompts: list[tuple[str, bool]] = []
    for finding in findings:
        features = read_attribute(concept, finding.subgroup)
        pairs = write_pairs(concept, features, PROMPTS) if features else []
        for pair in pairs:
            inside, outside = ((pair.with_, True), (pair.without, False))
            high = finding.direction == "higher"
            prompts += [(inside[0], high), (outside[0], not high)]
    per_side = {high: [prompt for prompt, side in prompts if side == high] for high in (True, False)}
    step = max(1, len(findings))
    chosen = [(prompt, high) for high, own in per_side.items() for prompt in _spread(own, step)]
    if not chosen:
        return Share()
    drawn = client.draw([prompt for prompt, _ in chosen], 1)
    images = [(drawn[prompt][0].image, high) for prompt, high in chosen]
    shown = [(image, high) for image, high in images if image is not None]
    if not shown:
        return Share()
    quarter = max(1, len(levels) // 4)
    ordered = np.sort(levels)
    middle = (ordered[:quarter].mean() + ordered[-quarter:].mean()) / 2
    scores = measured(system, [image for image, _ in shown])
    hits = sum((score > middle) == high for score, (_, high) in zip(scores, shown, strict=True))
    return Share(hits=hits, of=len(shown))


def _spread(prompts: Sequence[str], findings: int) -> list[str]:
    """Returns ten prompts, an equal part from each finding's."""
    each = len(prompts) // findings if findings else 0
    turns = [prompts[n * each + place] for place in range(each) for n in range(findings)]
    return list(dict.fromkeys(turns))[:PROMPTS]


def preferred(subject: Subject, others: Sequence[Subject], answer: str, judge: Judge) -> Share:
    """Returns how often the judge finds an answer nearer to the truth than to the truth of another model.

    Each comparison is made in both orders; other truths are told of the same class.
    """
    truths = [other.model_copy(update={"concept": subject.concept}).truth for other in others]
    distractors = [truth for truth in dict.fromkeys(truths) if truth != subject.truth][:DISTRACTORS]
    hits = sum(
        (judge.compare(answer, subject.truth, other) == 0) + (judge.compare(answer, other, subject.truth) == 1)
        for other in distractors
    )
    return Share(hits=hits / 2, of=len(distractors))
