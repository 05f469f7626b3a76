"""Scores the findings of an answer against a planted truth: by a strict list of words, and by fresh images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_bias import Finding
from maia_bias.attributes import read_attribute
from maia_bias.drawing import write_pairs
from maia_bias.findings import FINDINGS
from maia_core.plugin import Judge, System
from maia_eval.bias_results import Share, Verdict
from maia_eval.images import ImageClient, measured
from maia_judges import joined
from maia_labels.words import PREPOSITIONS
from maia_planted.attributes import OPPOSITE, VALUES, WORDS, Attribute
from maia_planted.subjects import Subject

PROMPTS = 10
"""Fresh prompts for each side."""

DISTRACTORS = 5
"""Truths of other models that the judge compares with."""

LEADING = PREPOSITIONS | {"next", "with", "without", "not", "no", "alone"}
"""First words of a subgroup that stands behind its class."""

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
        high, features = finding.direction == "higher", read_attribute(concept, finding.subgroup)
        for pair in write_pairs(concept, features, PROMPTS) if features else []:
            prompts += [(pair.with_, high), (pair.without, not high)]
    per_side = {high: [prompt for prompt, side in prompts if side == high] for high in (True, False)}
    chosen = [(prompt, high) for high, own in per_side.items() for prompt in _in_turn(own)]
    if not chosen:
        return Share()
    # A prompt that comes several times is drawn with as many seeds.
    numbers = [chosen[:place].count(prompt) for place, prompt in enumerate(chosen)]
    drawn = client.draw([prompt for prompt, _ in chosen], max(numbers) + 1)
    images = [(drawn[prompt][number].image, high) for (prompt, high), number in zip(chosen, numbers, strict=True)]
    shown = [(image, high) for image, high in images if image is not None]
    if not shown:
        return Share()
    quarter = max(1, len(levels) // 4)
    ordered = np.sort(levels)
    middle = (ordered[:quarter].mean() + ordered[-quarter:].mean()) / 2
    scores = measured(system, [image for image, _ in shown])
    hits = sum((score > middle) == high for score, (_, high) in zip(scores, shown, strict=True))
    return Share(hits=hits, of=len(shown))


def _in_turn(prompts: Sequence[str]) -> list[str]:
    """Returns ten prompts, an equal part from those of each finding, which has ten."""
    return [prompt for place in range(PROMPTS) for prompt in prompts[place::PROMPTS]][:PROMPTS]


def preferred(subject: Subject, others: Sequence[Subject], findings: Sequence[Finding], judge: Judge) -> Share:
    """Returns how often the judge finds an answer nearer to the truth than to the truth of another model.

    Each comparison is made in both orders. Other truths are those of models with a bias, told of the same class.
    """
    moved = [other.model_copy(update={"concept": subject.concept}).label for other in others if other.attributes]
    different = [label for label in dict.fromkeys(moved) if label != subject.label]
    distractors = different[:: max(1, len(different) // DISTRACTORS)][:DISTRACTORS]
    answer = joined([_label(subject.concept, finding) for finding in findings]) or subject.concept
    hits = sum(
        (judge.compare(answer, subject.label, other) == 0) + (judge.compare(answer, other, subject.label) == 1)
        for other in distractors
    )
    return Share(hits=hits / 2, of=len(distractors))


def _label(concept: str, finding: Finding) -> str:
    """Returns a finding as a label of the images with a higher score, such as "red rabbit" or "rabbit on snow"."""
    before = finding.subgroup.partition(" ")[0].casefold() not in LEADING
    words = f"{finding.subgroup} {concept}" if before else f"{concept} {finding.subgroup}"
    return words if finding.direction == "higher" else f"{concept} without {finding.subgroup}"
