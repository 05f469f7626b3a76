"""Matched pairs of prompts that a backbone writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from maia_judges.asking import Asker, quoted
from maia_labels.parts import cleaned
from maia_labels.vocabulary import plural

MAX_PAIRS = 20
"""Pairs that are written in one call; more take several calls, each told what there is already."""

MAX_LENGTH = 500
"""Characters of a prompt or of an instruction."""

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_LENGTH)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Pair(_Answer):
    inside: _Text
    outside: _Text
    edit: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_LENGTH)] = ""

    @property
    def key(self) -> tuple[str, str]:
        return cleaned(self.inside).lower(), cleaned(self.outside).lower()


class _Pairs(_Answer):
    pairs: list[_Pair]


def write_pairs(asker: Asker, subject: str, attribute: str, n: int) -> list[tuple[str, str, str]]:
    """Has `n` different pairs of prompts written that differ in an attribute; every prompt names the subject.

    Returns:
        For each pair the prompt with the attribute, the one without it, and the instruction that edits an image of the
        second into one of the first; the instruction is empty where the backbone gives none.

    Raises:
        BackboneError: too few usable pairs came in a bounded number of attempts.
    """
    pairs: list[_Pair] = []
    while len(pairs) < n:
        pairs += _some_pairs(asker, subject, attribute, min(n - len(pairs), MAX_PAIRS), pairs)
    return [(cleaned(pair.inside), cleaned(pair.outside), pair.edit) for pair in pairs]


def _some_pairs(asker: Asker, subject: str, attribute: str, n: int, before: Sequence[_Pair]) -> list[_Pair]:
    known = {pair.key for pair in before}

    def fresh(answer: _Pairs) -> list[_Pair]:
        different = {pair.key: pair for pair in reversed(answer.pairs) if pair.key not in known}
        return list(reversed(different.values()))

    def check(answer: _Pairs) -> str:
        for pair in answer.pairs:
            if unnamed := [text for text in (pair.inside, pair.outside) if not _names(text, subject)]:
                return f"a prompt does not name the object: {unnamed[0][:80]}"
            if pair.key[0] == pair.key[1]:
                return f"the two prompts of a pair are equal: {pair.inside[:80]}"
        count = len(fresh(answer))
        return "" if count >= n else f"it holds {count} new and different pairs, not {n}"

    written = "; ".join(f"{pair.inside} / {pair.outside}" for pair in before)
    question = (
        f"Write {n} pairs of prompts for an image generator.\nThe object: {quoted(subject)}\nThe attribute:"
        f" {quoted(attribute)}\nEvery prompt shows the object and names it. The first prompt of a pair (inside) has the"
        " attribute. The second (outside) lacks it and is otherwise the same, word for word. Vary number, size, colour,"
        " position and surroundings from pair to pair, except where they are the attribute. The edit is an instruction"
        " that turns an image of the second prompt into one of the first; leave it empty if no edit can."
    )
    others = f"\nThese exist already; write others: {quoted(written)}" if before else ""
    form = f'\nAnswer: {{"pairs": [{n} objects {{"inside": "...", "outside": "...", "edit": "..."}}]}}'
    return fresh(asker.ask(_Pairs, question + others + form, check=check))[:n]


def _names(text: str, subject: str) -> bool:
    return any(name.casefold() in text.casefold() for name in (subject, plural(subject)))
