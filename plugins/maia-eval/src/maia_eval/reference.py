"""Prompts from a unit's exemplars: images that can contradict a label which leaves out something.

The prompts of one label and neutral ones hold nothing that activates the unit and that the label does not name, so an
incomplete label would lose nothing by its gap (the missing-labels test of NeuronEval).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

import numpy as np

from maia_core.plugin import Judge, MaiaError, RunContext, System
from maia_exemplars import exemplar_source
from maia_labels import joined
from maia_labels.content import content_of
from maia_labels.described import MAX_SUBJECT, subject_of
from maia_labels.parts import MAX_LABEL
from maia_labels.vocabulary import vocabulary

EXEMPLARS = 32
"""Highest images of the unit that are described."""

HIGH = 0.5
"""Share of the highest activation that an exemplar has at least: the others need not show anything of the unit."""


def reference_prompts(judge: Judge, system: System, context: RunContext, n: int) -> tuple[str, ...]:
    """Returns up to `n` different prompts of the contents of a unit's exemplars; none without a describer."""
    exemplars, _ = exemplar_source(context, system).exemplars(system, EXEMPLARS)
    high = [each for each in exemplars if each.activation >= HIGH * exemplars[0].activation]
    chosen = [high[i] for i in np.unique(np.linspace(0, len(high) - 1, EXEMPLARS, dtype=int)) if i < len(high)]
    try:
        texts = context.describer.describe([(each.image.clean or each.image).anonymous() for each in chosen])
    except MaiaError as error:
        context.warn(f"no prompts from the exemplars, so an incomplete label can score high: {error}")
        return ()
    subjects = spread([subject for text in texts if (subject := subject_of(text))])[:n]
    prompts: dict[str, None] = {}
    for label, count in _labels(subjects, n):
        prompts |= dict.fromkeys(judge.write_prompts(label, count))
    return tuple(prompts)


def _labels(subjects: Sequence[str], n: int) -> list[tuple[str, int]]:
    """Joins subjects into labels of bounded length, with each one's share of `n` prompts: few questions to a judge."""
    groups: list[list[str]] = []
    for subject in subjects:
        if groups and len(joined([*groups[-1], subject])) < MAX_LABEL - MAX_SUBJECT:
            groups[-1].append(subject)
        else:
            groups.append([subject])
    ends = np.cumsum([0, *map(len, groups)]) * n // max(1, len(subjects))
    return [(joined(group), int(end - start)) for group, start, end in zip(groups, ends, ends[1:], strict=False)]


def spread(subjects: Sequence[str]) -> list[str]:
    """Returns each subject once, those of different broad kinds in turn: what is rare among exemplars comes early."""
    groups: dict[str, list[str]] = {}
    for subject in dict.fromkeys(subjects):
        groups.setdefault(_broad(subject), []).append(subject)
    return [each for each in chain.from_iterable(zip_longest(*groups.values())) if each is not None]


def _broad(subject: str) -> str:
    things = content_of(subject).things
    concept = things[0].concept if things else None
    return vocabulary().concepts.path(concept)[-1] if concept is not None else subject
