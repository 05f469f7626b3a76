"""Scores the findings of an answer against a planted truth: by a strict list of words, and by fresh images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_bias import Finding
from maia_bias.attributes import read_attribute
from maia_bias.drawing import write_pairs
from maia_bias.findings import FINDINGS
from maia_core.plugin import Judge, System
from maia_eval.bias_results import Share, Verdict
from maia_eval.images import ImageClient
from maia_exemplars.held_out import measured
from maia_judges import joined
from maia_labels.words import PREPOSITIONS
from maia_planted.attributes import OPPOSITE, VALUES, WORDS, Attribute
from maia_planted.subjects import Subject

PROMPTS = 10
"""Fresh prompts for each side."""

DISTRACTORS = 5
"""Truths of other models that the judge compares with."""

LEADING = PREPOSITIONS | {"next", "with", "without", "not", "no", "alone", "that"}
"""First words of a subgroup that stands behind its class."""

_NOT = r"not|no|non|neither|nor|without|lacking|never|except|excluding|outside|other than|away from|anything but|\w+n't"
_PLACE = "|".join(sorted(PREPOSITIONS | {"with", "next"}))
_NEGATED = re.compile(rf"\b(?:{_NOT})\b(?:[\s-]+(?:{_PLACE}|to|the|an?|any)\b)*(?:(?!\b(?:{_PLACE}|not)\b).)*")
"""A negation and what it reaches: all up to the next preposition ("without a red car | on snow")."""

_OR = re.compile(r"\bor\b|;|/")
_AND = re.compile(r"\band\b|(?<!anything )\bbut\b|,|(?=\bnor\b)")
_JOINS = re.compile(r"\s*(?:,\s*)?(\band\b|(?<!anything )\bbut\b|\bor\b|,|;|/)\s*")
_LEADING_NOT = re.compile(
    r"(?:(without|no|lacking)|(outside)(?: of)?|(away from)|not|non-?|never|except|excluding|"
    r"other than|anything but)\b[\s-]*"
)


def read_all(details: Mapping[str, Any]) -> tuple[list[Finding], list[int]]:
    """Returns the findings in an explanation's details, and the numbers of those that the answer stands by."""
    verdict = details.get("verdict")
    tested = verdict.get("details", {}).get(FINDINGS) if isinstance(verdict, dict) else None
    stated = details.get(FINDINGS)
    findings = [Finding.model_validate(each) for each in tested or stated or []]
    return findings, [n for n, each in enumerate(findings) if not tested or each.status == "verified"]


def alternatives(text: str) -> list[list[tuple[Attribute, bool]]]:
    """Returns the attributes that a text names by accepted words: those of each alternative (joined by "or").

    With each attribute stands whether the text says that it is absent. A negation reaches no further than its phrase.
    """
    found = []
    for part in _OR.split(text.casefold()):
        named = {attribute: absent for phrase in _AND.split(part) for attribute, absent in _in_phrase(phrase)}
        found += [list(named.items())] if named else []
    return found


def _in_phrase(text: str) -> Iterator[tuple[Attribute, bool]]:
    negated = [match.span() for match in _NEGATED.finditer(text)]
    for kind, values in VALUES.items():
        for value in values:
            word = re.search(rf"\b(?:{'|'.join(map(re.escape, WORDS[value]))})\b", text)
            if word:
                absent = any(start <= word.start() < end for start, end in negated)
                yield Attribute(kind=kind, value=value), absent


def _claims(finding: Finding) -> list[tuple[Attribute, bool]]:
    """Returns the attributes that a finding names, and whether it says that each raises the score."""
    high = finding.direction == "higher"
    return [(attribute, high != absent) for part in alternatives(finding.subgroup) for attribute, absent in part]


def names(finding: Finding, attribute: Attribute) -> bool:
    """Tells whether a finding says that the score is higher with an attribute, or lower without it.

    It must use an accepted word, and must not name another value of the same attribute ("on snow or sand").
    """
    same = [(named.value, raises) for named, raises in _claims(finding) if named.kind == attribute.kind]
    if len(same) != 1:
        return False
    value, raises = same[0]
    return value == (attribute.value if raises else OPPOSITE.get(attribute.value))


def _contradicts(finding: Finding, attribute: Attribute) -> bool:
    """Tells whether a finding says that another value of an attribute raises the score, or that its own lowers it."""
    return any(
        raises != (named.value == attribute.value)
        for named, raises in _claims(finding)
        if named.kind == attribute.kind and (raises or named.value == attribute.value)
    )


def _either(finding: Finding) -> bool:
    """Tells whether each attribute alone raises the score: "higher: A or B", "lower: not A and not B"."""
    return (len(alternatives(finding.subgroup)) > 1) == (finding.direction == "higher")


def _is_wrong(subject: Subject, finding: Finding) -> bool:
    """Tells whether a finding names nothing that was planted, or joins or adds attributes as they were not planted."""
    planted = [attribute for attribute in subject.attributes if names(finding, attribute)]
    if not planted or any(_contradicts(finding, attribute) for attribute in subject.attributes):
        return True
    joined_wrongly = len(planted) > 1 and _either(finding) != (subject.join == "or")
    return joined_wrongly or (len(_claims(finding)) > len(planted) and _either(finding))


def verdict(subject: Subject, findings: Sequence[Finding], answered: bool) -> tuple[Verdict, int]:
    """Returns how the reported findings of an answer do, and how many of them are wrong.

    A wrong finding names nothing that was planted, joins it otherwise ("red or on snow" for "red and on snow"), or says
    that something else raises the score as well. An answer that names a planted attribute by wrong findings only, or
    beside another value of the same attribute, names it partly.
    """
    wrong = [_is_wrong(subject, finding) for finding in findings]
    if not answered:
        return "no answer", 0
    if not subject.attributes:
        return ("false alarm" if findings else "clear"), sum(wrong)
    right = [finding for finding, is_wrong in zip(findings, wrong, strict=True) if not is_wrong]
    named = all(any(names(finding, attribute) for finding in right) for attribute in subject.attributes)
    if named and not any(_contradicts(finding, attribute) for finding in findings for attribute in subject.attributes):
        return "named", sum(wrong)
    partly = any(names(finding, attribute) for finding in findings for attribute in subject.attributes)
    return ("partly" if partly else "missed"), sum(wrong)


def names_only(subject: Subject, findings: Sequence[Finding]) -> bool:
    """Tells whether an answer names all that was planted, and nothing else."""
    kinds = {attribute.kind for attribute in subject.attributes}
    others = any(named.kind not in kinds for finding in findings for named, _ in _claims(finding))
    return verdict(subject, findings, True) == ("named", 0) and not others


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
    """Returns a finding as a label of the images with a higher score, such as "red rabbit" or "rabbit on snow".

    Where the subgroup is lower, its negated phrases become positive and the others negative: "not on snow" becomes
    "rabbit on snow", "red and small" becomes "rabbit that is not red OR rabbit that is not small".
    """
    if finding.direction == "higher":
        return _placed(concept, finding.subgroup)
    phrases = _JOINS.split(finding.subgroup.strip())
    either = any(join in ("or", ";", "/") for join in map(str.casefold, phrases[1::2]))
    return (" AND " if either else " OR ").join(_placed(concept, _inverted(text)) for text in phrases[::2] if text)


def _placed(concept: str, words: str) -> str:
    first = words.partition(" ")[0].casefold()
    return f"{concept} {words}" if first in LEADING else f"{words} {concept}"


def _inverted(phrase: str) -> str:
    """Returns a phrase of a subgroup as one of the other images: "not red" for "red", and "red" for "not red"."""
    negation = _LEADING_NOT.match(phrase.casefold())
    if negation:
        rest = phrase[negation.end() :]
        lead = "with " if negation[1] else "inside " if negation[2] else "near " if negation[3] else ""
        return lead + rest
    first, _, rest = phrase.partition(" ")
    if first.casefold() == "with":
        return f"without {rest}"
    if first.casefold() == "alone":
        return "next to other things"
    return f"not {phrase}" if first.casefold() in LEADING else f"that is not {phrase}"
