"""The explainer `line`: propose concepts, draw them, measure the unit, and refine by the history of activations.

LINE (2026, arXiv 2604.08039) is a loop of a language model and an image generator, without programs and without an
agent. This is an implementation after its description; the authors' code was not public.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, JsonValue

from maia_baselines.never import never_active
from maia_baselines.proposals import BackboneProposer, Proposer, VocabularyProposer, prompt_of
from maia_core.plugin import Evidence, Explanation, PluginConfig, RunContext, System, ToolError, UsageError
from maia_exemplars import exemplar_source
from maia_labels.vocabulary import vocabulary

OFFLINE = ("heuristic", "human")
"""Backbones that write programs only: with them, `auto` proposes from the vocabulary."""

MIN_SHARE = 0.4
"""A further label must reach this share of the best concept's activation."""

CANDIDATES = 3
"""For each label that may be named, this many of the best concepts are measured again: the best of many were lucky."""

BROADER = 0.85
"""A broader concept takes the place of a narrower one if it reaches this share of its activation."""

_SMALL_WORDS = {"a", "an", "the", "on", "in", "of", "with", "and", "or", "at", "thing"}


class Line:
    """Proposes, draws, measures and refines; its labels are the concepts that drive the unit most."""

    class Config(PluginConfig):
        """Rounds, images and the proposer."""

        rounds: int = Field(5, gt=0, le=50)
        """Rounds of proposals."""
        proposals: int = Field(8, gt=0, le=50)
        """Concepts proposed per round."""
        samples: int = Field(3, gt=0, le=50)
        """Images per concept."""
        exemplars: int = Field(15, gt=0)
        """Highest images whose descriptions the first proposals come from."""
        named: int = Field(3, gt=0)
        """Most labels."""
        strengths: bool = True
        """State how strongly each label drives the unit."""
        proposer: Literal["auto", "backbone", "vocabulary"] = "auto"
        """Who proposes: the run's `backbone`, or the `vocabulary` [default: the backbone if it is a language model]."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.config = config

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains one unit; `details` has every measured concept with its activation, by round.

        Raises:
            UsageError: the generator could draw none of the proposed concepts.
        """
        exemplars, statistics = exemplar_source(context, unit).exemplars(unit, self.config.exemplars)
        if statistics.quantiles[0] == statistics.quantiles[-1]:
            return never_active(unit, context.dataset)
        described = context.describer.describe([exemplar.image.anonymous() for exemplar in exemplars])
        scale = float(np.mean([exemplar.activation for exemplar in exemplars])) or 1.0
        proposer = self._proposer(described, context)
        measured: dict[str, tuple[float, ...]] = {}
        lost: list[str] = []
        rounds: list[JsonValue] = []
        for _ in range(self.config.rounds):
            history = {concept: float(np.mean(values)) / scale for concept, values in measured.items()}
            proposed = proposer.propose(history | dict.fromkeys(lost, 0.0), self.config.proposals)
            if not proposed:
                break
            for concept in proposed:
                if values := self._measured(concept, unit, context):
                    measured[concept] = values
                else:
                    lost.append(concept)
            rounds.append([[c, round(float(np.mean(measured[c])), 6)] for c in proposed if c in measured])
        if not measured:
            raise UsageError(
                f"line: the generator '{context.config.generator.name}' cannot draw any of {len(lost)} proposed "
                f"concepts, such as '{', '.join(lost[:3])}'; choose another generator or proposer"
            )
        best = sorted(measured, key=lambda concept: -float(np.mean(measured[concept])))
        for concept in best[: CANDIDATES * self.config.named]:
            measured[concept] = self._measured(concept, unit, context, fresh=True) or measured[concept]
        means = {c: float(np.mean(measured[c])) for c in best[: CANDIDATES * self.config.named]}
        chosen = select(means, self.config.named)
        shares = [min(1.0, max(0.01, mean / scale)) for mean in chosen.values()]
        labels = tuple(chosen)
        top = max(means, key=lambda concept: means[concept])
        also = f"; also {', '.join(labels[1:])}" if labels[1:] else ""
        nearly = "" if labels[0] == top else f"'{labels[0]}' {chosen[labels[0]]:.3g}, "
        return Explanation(
            description=(
                f"{labels[0]}{also}. Of {len(measured)} concepts that were drawn and measured in {len(rounds)} rounds, "
                f"{len(means)} were measured again. Of these, '{top}' activates the unit most: {means[top]:.3g} on "
                f"average, {nearly}the {len(exemplars)} highest images of {statistics.dataset} {scale:.3g}."
            ),
            labels=labels,
            strengths=tuple(shares) if self.config.strengths and scale > 0 else (),
            sentence=f"{labels[0]}{also}",
            evidence=tuple(
                Evidence(condition=prompt_of(concept), activations=measured[concept], expected="high")
                for concept in labels
            ),
            details={"rounds": rounds, "not drawn": list(lost), "proposer": type(proposer).__name__},
        )

    def _proposer(self, described: list[str], context: RunContext) -> Proposer:
        backbone = context.config.backbone
        by_vocabulary = backbone.name.partition("@")[0] in OFFLINE
        if self.config.proposer == "vocabulary" or (self.config.proposer == "auto" and by_vocabulary):
            return VocabularyProposer(described, context.seed)
        if by_vocabulary:
            raise UsageError(
                f"line: the backbone '{backbone.name}' proposes no concepts; choose a language model with --backbone, "
                "or proposer=vocabulary"
            )
        built = context.build("backbone", backbone.name, **backbone.options)
        return BackboneProposer(built, described, context)

    def _measured(self, concept: str, unit: System, context: RunContext, fresh: bool = False) -> tuple[float, ...]:
        """Returns the activation of each image of a concept; none where the generator cannot show the concept.

        Fresh images are other ones than the first, and twice as many.
        """
        prompts = [prompt_of(concept)] * (self.config.samples * (3 if fresh else 1))
        chosen = slice(self.config.samples if fresh else 0, None)
        try:
            images, warnings = context.generator.generate(prompts[chosen], context.seeds(prompts)[chosen])
        except ToolError:
            return ()
        shown = [image for image, warning in zip(images, warnings, strict=True) if not warning]
        return tuple(float(value) for value in unit.neuron(shown)[0]) if shown else ()


def select(means: dict[str, float], named: int) -> dict[str, float]:
    """Returns the labels with their mean activation, highest first: the best concept, and unrelated ones near it.

    A broader concept takes the place of a narrower one if its images activate the unit almost as much.
    """
    ranked = sorted(means, key=lambda concept: -means[concept])
    best = means[ranked[0]]
    chosen: dict[str, float] = {}
    for concept in ranked:
        if len(chosen) == named or (chosen and means[concept] < MIN_SHARE * best):
            break
        if any(related(concept, other) for other in chosen):
            continue
        broader = [c for c in _broader(concept) if c in means and means[c] >= BROADER * means[concept]]
        kept = broader[-1] if broader else concept
        chosen[kept] = means[kept]
    return dict(sorted(chosen.items(), key=lambda label: -label[1]))


def related(a: str, b: str) -> bool:
    """Tells whether two concepts share a word, or one is broader than the other."""
    words = [{word.rstrip("s") for word in text.lower().split()} - _SMALL_WORDS for text in (a, b)]
    return bool(words[0] & words[1]) or a.lower() in _broader(b) or b.lower() in _broader(a)


def _broader(concept: str) -> list[str]:
    entry = vocabulary().find(concept.lower())
    return vocabulary().path(entry)[1:] if entry is not None else []
