"""A judge that asks a backbone: prompts, scores and preferences in JSON, checked before they count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from maia_core.plugin import Backbone, Image, PluginConfig, RunContext, UsageError, content_id
from maia_judges.asking import Asker, quoted
from maia_judges.pairs import write_pairs
from maia_judges.ties import keys
from maia_labels.parts import cleaned, parts_of, says_nothing

MAX_PROMPTS = 20
"""Prompts that are written in one call; more take several calls, each told what there is already."""

MAX_SCORES = 60
"""Prompts that are scored in one call."""

FULL = 100
"""The highest score that is asked for."""

VERSION = 2
"""Raised whenever the questions change."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Prompts(_Answer):
    prompts: list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]]


class _Scores(_Answer):
    scores: list[Annotated[float, Field(ge=0, le=FULL, allow_inf_nan=False)]]


class _Better(_Answer):
    better: Annotated[str, StringConstraints(pattern="^[AB]$")]


class _Same(_Answer):
    same: bool


class BackboneJudge:
    """Asks a backbone, built apart from the run's own: it sees nothing of a run's conversation."""

    class Config(PluginConfig):
        """Options of the judge `backbone`."""

        backbone: str = ""
        """Name of the backbone; empty: the run's, with the run's options for it."""
        options: dict[str, Any] = Field(default_factory=dict)
        """Options of the backbone, such as `model`."""
        attempts: int = Field(3, ge=1, le=10)
        """How often one question is asked until its answer has the form that was asked for."""
        images_per_call: int = Field(8, ge=1, le=100)
        """Images that one question shows at most; fewer where the backbone takes fewer."""

    def __init__(self, config: Config, context: RunContext) -> None:
        chosen = context.config.backbone
        name = config.backbone or chosen.name
        options = config.options or (chosen.options if name == chosen.name else {})
        self._backbone: Backbone = context.build("backbone", name, **options)
        self._batch = min(config.images_per_call, self._backbone.info.max_images or config.images_per_call)
        self._asker = Asker(
            self._backbone, context.config.limits, context.spend, attempts=config.attempts, seed=context.seed
        )
        info = self._backbone.info
        self.fingerprint = content_id(
            f"backbone/{VERSION}/{info.name}/{info.model}/{sorted(options.items())!r}".encode()
        )

    def write_prompts(self, label: str, n: int) -> list[str]:
        """Has `n` different prompts written, asking again for those that are missing.

        Raises:
            BackboneError: too few usable prompts came in a bounded number of attempts.
        """
        if says_nothing(label):
            return self.write_neutral(label, n)
        return self._written(
            n,
            f"for an image generator. Each image must show what this label says: {quoted(label)}\nIf the label is"
            " broad, spread the prompts over many different specific things that it covers. Vary everything that the"
            " label leaves open (number, size, colour, surroundings). 'A OR B': half of the prompts show A, the others"
            " show B. 'A given B', 'A | B', 'A AND B': every prompt shows both in one picture.",
        )

    def write_neutral(self, label: str, n: int) -> list[str]:
        """Has `n` different prompts written that show nothing of a label; see `write_prompts`."""
        nothing_of = f"\nNo image may show anything that this label names: {quoted(label)}"
        return self._written(
            n,
            "for an image generator, each of a different everyday thing or scene: animals, food, tools, vehicles,"
            " rooms, landscapes, textures. They serve as neutral inputs, so spread them widely."
            + ("" if says_nothing(label) else nothing_of),
        )

    def write_near(self, label: str, n: int) -> list[str]:
        """Has `n` different prompts of near misses written; see `write_prompts`."""
        if says_nothing(label):
            return []
        return self._written(
            n,
            f"for an image generator, each a near miss of this label: {quoted(label)}\nEach image shows nearly what the"
            " label says, but not it: a closely related thing, the same thing with another colour or another such"
            " attribute, or one half of two things that belong together. No image may show what the label names.",
        )

    def _written(self, n: int, aim: str) -> list[str]:
        prompts: list[str] = []
        while len(prompts) < n:
            prompts += self._some_prompts(aim, min(n - len(prompts), MAX_PROMPTS), prompts)
        return prompts

    def _some_prompts(self, aim: str, n: int, before: Sequence[str]) -> list[str]:
        known = {_same(prompt) for prompt in before}
        others = f"\nThese exist already; write others: {quoted('; '.join(before))}" if before else ""
        form = f'\nAnswer: {{"prompts": [{n} different strings, each one sentence of plain English]}}'

        def check(answer: _Prompts) -> str:
            fresh = {_same(prompt) for prompt in answer.prompts} - known
            return "" if len(fresh) >= n else f"it holds {len(fresh)} new and different prompts, not {n}"

        answer = self._asker.ask(_Prompts, f"Write {n} prompts {aim}{others}{form}", check=check)
        fresh = {_same(prompt): cleaned(prompt) for prompt in reversed(answer.prompts) if _same(prompt) not in known}
        return list(reversed(fresh.values()))[:n]

    def write_pairs(self, subject: str, attribute: str, n: int) -> list[tuple[str, str, str]]:
        """Has matched pairs of prompts written; see `maia_judges.pairs.write_pairs`."""
        return write_pairs(self._asker, subject, attribute, n)

    def select(self, label: str, prompts: Sequence[str]) -> list[int]:
        """Ranks prompts by the scores that the backbone gives them; equal ones as `maia_judges.ties` does."""
        scores: list[float] = []
        for start in range(0, len(prompts), MAX_SCORES):
            batch = prompts[start : start + MAX_SCORES]
            listed = "\n".join(f"{number}. {quoted(prompt)}" for number, prompt in enumerate(batch, 1))
            scores += self._scores(
                len(batch),
                f"{_described(label)}\nHow strongly will an image made from each of"
                f" these prompts activate it, from 0 (not at all) to {FULL} (as strongly as anything)?\n{listed}",
            )
        order = keys(label, prompts)
        return sorted(range(len(prompts)), key=lambda i: (-scores[i], order[i], i))

    def compare(self, truth: str, a: str, b: str) -> int:
        """Has the better label chosen; which one is shown first depends on their texts, not on their places."""
        turned = keys(truth, [a, b]) != sorted(keys(truth, [a, b]))
        first, second = (b, a) if turned else (a, b)
        answer = self._asker.ask(
            _Better,
            f"What a unit responds to is: {quoted(truth)}\nLabel A: {quoted(first)}\nLabel B: {quoted(second)}\n"
            "Which label agrees better with it, in what it names and in what it leaves out?\n"
            'Answer: {"better": "A"} or {"better": "B"}',
        )
        return int((answer.better == "B") != turned)

    def same(self, a: str, b: str) -> bool:
        """Asks whether two labels say the same."""
        first, second = sorted((a, b))
        return self._asker.ask(
            _Same,
            f"Label A: {quoted(first)}\nLabel B: {quoted(second)}\nDo both labels describe the same images?\n"
            'Answer: {"same": true} or {"same": false}',
        ).same

    def predict(self, label: str, images: Sequence[Image]) -> list[float]:
        """Has a score given to each image, divided by the highest possible one.

        Raises:
            UsageError: the backbone sees no images.
        """
        info = self._backbone.info
        if images and not info.images:
            raise UsageError(
                f"the backbone '{info.model or info.name}' sees no images, so it cannot predict from them; choose one"
                " that does (-o judge.backbone=NAME), or --judge embedding"
            )
        scores: list[float] = []
        for start in range(0, len(images), self._batch):
            batch = [image.anonymous() for image in images[start : start + self._batch]]
            shown = [part for number, image in enumerate(batch, 1) for part in (f"Image {number}:", image)]
            scores += self._scores(
                len(batch),
                f"{_described(label)}\nHow strongly does it respond to each image, from"
                f" 0 (not at all) to {FULL} (as strongly as to anything)?",
                *shown,
            )
        return [score / FULL for score in scores]

    def _scores(self, n: int, *question: str | Image) -> list[float]:
        def check(answer: _Scores) -> str:
            return "" if len(answer.scores) == n else f"it holds {len(answer.scores)} scores, not {n}"

        form = f'Answer: {{"scores": [{n} numbers, in this order]}}'
        return self._asker.ask(_Scores, *question, form, check=check).scores


def _described(label: str) -> str:
    stated = "\nA percentage says how strongly that concept drives the unit, compared with the strongest one."
    return f"A unit is described by this label: {quoted(label)}{stated if parts_of(label).strengths else ''}"


def _same(prompt: str) -> str:
    return cleaned(prompt).lower()
