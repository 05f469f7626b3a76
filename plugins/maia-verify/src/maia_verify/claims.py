"""What an answer claims: its alternatives, each in the one text that all wordings of it share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from maia_core.plugin import Explanation, Judge
from maia_labels import joined, parts_of
from maia_labels.canonical import canonical, understood
from maia_labels.content import content_of, shows
from maia_labels.parts import cleaned
from maia_labels.vocabulary import plural, singulars

MIN_SHOWN = 0.1
"""A prompt that shows a claim with this probability is covered by it: "a cup" may be white, "a car" a race car."""


class Claim(NamedTuple):
    """One alternative of an answer.

    Attributes:
        text: What is claimed, as it is understood.
        things: The concepts that must be there together, usually one.
        strength: Share of the exemplars' activation that the answer states; 1 where it states none.
    """

    text: str
    things: tuple[str, ...]
    strength: float


class Claims(NamedTuple):
    """The alternatives of an answer, each once, and how its labels were understood."""

    each: tuple[Claim, ...]
    notes: tuple[str, ...]

    @property
    def label(self) -> str:
        """The answer as one label, with strengths, for a judge."""
        return joined([claim.text for claim in self.each], [claim.strength for claim in self.each])

    def named_in(self, prompt: str, but: Claim | None = None) -> bool:
        """Returns whether a prompt names a thing of the answer, other than those of one claim."""
        others = [thing for claim in self.each if claim != but for thing in claim.things]
        return any(names(prompt, thing) for thing in others)


def claims_of(explanation: Explanation) -> Claims:
    """Returns what an explanation claims."""
    shares = explanation.strengths or (1.0,) * len(explanation.labels)
    claims: dict[str, Claim] = {}
    for label, share in zip(explanation.labels, shares, strict=True):
        for claim in _claims(label, share):
            known = claims.setdefault(claim.text.lower(), claim)
            claims[claim.text.lower()] = known._replace(strength=max(known.strength, claim.strength))
    read = [(thing, canonical(thing)) for label in explanation.labels for thing in _concepts(label)]
    notes = [f"'{said}' is understood as '{text}': {understood(text)}." for said, text in dict.fromkeys(read)]
    return Claims(tuple(claims.values()), tuple(notes))


def _claims(label: str, share: float) -> list[Claim]:
    form, parts, strengths = parts_of(label)
    if form == "either":
        each = zip(parts, strengths or (1.0,) * len(parts), strict=True)
        return [claim for part, own in each for claim in _claims(part, share * own)]
    things = tuple(map(canonical, parts))
    text = things[0] if form == "one" else f" {'AND' if form == 'both' else 'given'} ".join(things)
    return [Claim(text, things, share)] if any(things) else []


def _concepts(label: str) -> list[str]:
    form, parts, _ = parts_of(label)
    return [cleaned(label)] if form == "one" else [concept for part in parts for concept in _concepts(part)]


def names(prompt: str, thing: str) -> bool:
    """Returns whether the words of a prompt name a thing, in the singular or the plural."""
    head, space, last = thing.lower().rpartition(" ")
    forms = {thing.lower(), plural(thing.lower()), *(head + space + one for one in singulars(last))}
    # Not \b, which needs a letter or digit on one side: "c++" ends in neither.
    return re.search(rf"(?<!\w)(?:{'|'.join(map(re.escape, forms))})(?!\w)", prompt, re.IGNORECASE) is not None


class Covers:
    """Decides from words alone whether a claim covers what a prompt shows.

    A judge ranks: a prompt counts as covered if it fits better than at least one prompt that was written for the claim.

    Args:
        judge: Ranks.
        written: The prompts of each claim.
    """

    def __init__(self, judge: Judge, written: Sequence[tuple[Claim, Sequence[str]]]) -> None:
        self._judge, self._written = judge, [(claim, list(prompts)) for claim, prompts in written if prompts]

    def __call__(self, prompt: str) -> bool:
        return any(self._covers(claim, prompts, prompt) for claim, prompts in self._written)

    def _covers(self, claim: Claim, prompts: list[str], prompt: str) -> bool:
        if prompt in prompts or all(names(prompt, thing) for thing in claim.things):
            return True
        known = [content_of(text) for text in (*claim.things, prompt)]
        if all(content.known for content in known):
            # The tree knows both. A little wider concept may show the claim's, so it is covered as well.
            return all(max(shows(thing, known[-1]), shows(known[-1], thing)) >= MIN_SHOWN for thing in known[:-1])
        return self._judge.select(claim.text, [*prompts, prompt])[-1] != len(prompts)
