"""Proposes concepts that may drive a unit, from the history of measured ones: a language model, or the vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Protocol

import numpy as np

from maia_baselines.concepts import COLOURS
from maia_core.plugin import Backbone, CallLimits, Message, RunContext
from maia_labels.vocabulary import article, vocabulary

History = Mapping[str, float]
"""Concept to its measured mean activation, as a share of the exemplars' mean activation."""

MAX_CHARACTERS = 80
"""Longest concept that is taken from a language model; a longer line is prose."""

MAX_LISTED = 40
"""Measured concepts that the language model sees, the highest ones; and as many descriptions."""

MIN_CONFIDENCE = 0.2
"""Of an image's names, the first counts, and others from this confidence of the describer on."""

FEW = 5
"""Things, colours and surroundings of the exemplars that further proposals vary the best concept with."""

QUESTION = """\
A unit of a computer vision model is active when an image shows certain things. Find short concepts (one to five words)
that activate it as strongly as possible. An image generator draws each concept, and the unit is measured on the images.

Descriptions of the images of a data set that activate the unit most:
{described}

{history}
Propose {count} new concepts that may activate the unit more. Learn from the measured ones: vary the best, be broader
and narrower, try parts, colours, textures and surroundings, and things of another kind. Write one concept per line,
and nothing else."""

MEASURED = """\
Concepts measured so far, as a share of the activation of those images (1 is as high):
{lines}
"""

_LISTED = re.compile(r"^\s*(?:[-*•]|\d+[.):])?\s*[\"'`*]*(.*?)[\"'`*.,;]*\s*$")
_ENTRY = re.compile(r"([^;,():]+?) \((\d?\.?\d+)\)")
_SHARE = re.compile(r"\s*(?:\(.*|\d+ ?%.*)$")
_ARTICLE = re.compile(r"^(?:an?|the) ", re.IGNORECASE)


class Proposer(Protocol):
    """Proposes concepts."""

    def propose(self, history: History, count: int) -> list[str]:
        """Returns up to `count` concepts that were not measured yet; none if it has no more."""


class BackboneProposer:
    """Has the run's backbone propose. It sees descriptions and activations; the unit's name is not among them."""

    def __init__(self, backbone: Backbone, described: Sequence[str], context: RunContext) -> None:
        self._backbone, self._described, self._context = backbone, described[:MAX_LISTED], context

    def propose(self, history: History, count: int) -> list[str]:
        """Asks the backbone once; lines that are prose or repeat a measured concept do not count."""
        best = sorted(history.items(), key=lambda item: -item[1])[:MAX_LISTED]
        lines = "\n".join(f"{share:.2f} {concept}" for concept, share in best)
        question = QUESTION.format(
            described="\n".join(f"- {text}" for text in self._described),
            history=MEASURED.format(lines=lines) if best else "",
            count=count,
        )
        limits = self._context.config.limits
        call = CallLimits(max_output_tokens=limits.reply_tokens, seconds=limits.reply_seconds, seed=self._context.seed)
        reply = self._backbone.complete([Message.of("user", question)], call)
        self._context.spend(reply.usage)
        found = (bare(match[1]) for line in reply.text.splitlines() if (match := _LISTED.match(line)))
        usable = (text for text in found if text and len(text) <= MAX_CHARACTERS and not text.endswith(":"))
        return new(usable, history)[:count]


class VocabularyProposer:
    """Proposes offline: the concepts of the exemplars' descriptions, then variations of the best measured one."""

    def __init__(self, described: Sequence[str], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._things, self._colours, self._places = described_concepts(described)
        self._varied: set[str] = set()

    def propose(self, history: History, count: int) -> list[str]:
        """Proposes the descriptions' concepts first; then varies the best concept that was not varied yet."""
        seen = chain.from_iterable(zip_longest(self._things, (f"{c} things" for c in self._colours), self._places))
        found = new((text for text in seen if text), history)[:count]
        while len(found) < count and (left := [c for c in history if c not in self._varied]):
            best = max(left, key=lambda concept: history[concept])
            self._varied.add(best)
            found += new(self._variations(best), [*history, *found])[: count - len(found)]
        return found

    def _variations(self, concept: str) -> Iterator[str]:
        """Yields broader, narrower and neighbouring concepts, then the concept in the exemplars' colours and places."""
        tree = vocabulary().concepts
        entry = vocabulary().find(concept.lower())
        if entry is not None and not entry.background:
            yield from tree.path(entry.name)[1:3]
            parent = tree.parent[entry.name]
            near = [name for name in tree.below(parent or entry.name) if name != entry.name]
            for name in self._rng.permutation(np.array(near, dtype=object))[:FEW]:
                yield str(name)
            yield from (f"{colour} {concept}" for colour in self._colours[:FEW])
            yield from (f"{concept} on {place}" for place in self._places[:FEW])
        elif concept.endswith(" things"):
            yield from (f"{concept.removesuffix(' things')} {thing}" for thing in self._things[:FEW])


def described_concepts(described: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Returns the things, colours and surroundings that descriptions name, each the most frequent first.

    In descriptions like those of `nearest`, names carry their confidence and clauses a name; of free text the beginning
    counts as a thing.
    """
    things: Counter[str] = Counter()
    colours: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for text in described:
        first, *clauses = text.split(";")
        named = _ENTRY.findall(first)
        entries = [name.strip() for n, (name, share) in enumerate(named) if n == 0 or float(share) >= MIN_CONFIDENCE]
        things.update(entries or [bare(first.partition("(")[0].partition(",")[0])[:MAX_CHARACTERS]])
        for clause in clauses:
            name, _, body = clause.strip().partition(":")
            words = [_SHARE.sub("", word).strip() for word in body.split(",")]
            if name == "kind":
                things.update(word for word in words if word)
            elif name in ("on", "colours"):
                colours.update(word for word in words if word in COLOURS)
                places.update(word for word in words if word and word not in COLOURS and word != "plain")
    known = [thing for thing, _ in things.most_common() if thing and not thing.startswith("nothing")]
    return known, [colour for colour, _ in colours.most_common()], [place for place, _ in places.most_common()]


def new(concepts: Iterator[str] | Sequence[str], known: Mapping[str, float] | Sequence[str]) -> list[str]:
    """Returns concepts that are not known, each once; upper and lower case are the same."""
    before = {concept.casefold() for concept in known}
    found: dict[str, str] = {}
    for concept in concepts:
        if concept.casefold() not in before:
            found.setdefault(concept.casefold(), concept)
    return list(found.values())


def bare(text: str) -> str:
    """Returns a concept on one line, without an article."""
    return _ARTICLE.sub("", " ".join(text.split()))


def prompt_of(concept: str) -> str:
    """Returns the prompt that draws a concept: with an article before a thing that the vocabulary knows."""
    entry = vocabulary().find(concept.lower())
    return article(concept) if entry is not None and not entry.background and not entry.plural else concept
