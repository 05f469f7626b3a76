"""Fresh images of one verification: all requests of a round are generated in one call and measured in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from maia_core.plugin import (
    Image,
    MendableError,
    Probe,
    RunContext,
    ToolError,
    UnreadableImage,
    UsageError,
    one_line,
)


@dataclass
class Group:
    """The images of one text, all replicates of one condition.

    Attributes:
        text: Prompt or instruction.
        condition: What its images are made for.
        probes: One per image.
        warning: What the generator said about them: they do not show the text.
        original: The image that was edited; None for a generated one.
    """

    text: str
    condition: str
    probes: list[Probe] = field(default_factory=list)
    warning: str = ""
    original: Probe | None = None

    @property
    def mean(self) -> float:
        """Mean activation of the replicates."""
        return float(np.mean([probe.activation for probe in self.probes]))

    @property
    def highest(self) -> float:
        """Highest activation of the replicates."""
        return max(probe.activation for probe in self.probes)


class FreshImages:
    """Makes and measures the images of one verification.

    Attributes:
        groups: Every group that has images, in order.
        refused: Prompts that the generator could not follow, and what it said.
        unedited: Instructions that the editor could not follow, likewise.
        context: The run's parts.
        seed: Changes with every attempt, and differs from the seeds of the experiments.
    """

    def __init__(self, context: RunContext, attempt: int) -> None:
        self.context = context
        self.groups: list[Group] = []
        self.refused: dict[str, str] = {}
        self.unedited: dict[str, str] = {}
        self._attempt, self._round, self._drawn = attempt, 0, 0
        self._prompts: list[tuple[Group, int]] = []
        self._images: list[tuple[Group, Image]] = []
        self.seed = self._seeds(["statistics"])[0]

    def ask(self, condition: str, prompts: Sequence[str], samples: int) -> list[Group]:
        """Asks for images of prompts; the groups have them after `measure`, or a warning."""
        groups = [Group(prompt, condition) for prompt in dict.fromkeys(prompts)]
        self._prompts += [(group, samples) for group in groups]
        return groups

    def add(self, condition: str, images: Sequence[Image]) -> list[Group]:
        """Asks for the activation of images that exist."""
        groups = [Group("", condition) for _ in images]
        self._images += zip(groups, images, strict=True)
        return groups

    def edit(self, condition: str, originals: Sequence[Probe], instructions: Sequence[Sequence[str]]) -> list[Group]:
        """Edits measured images, each by the first of its instructions that is possible; the others have no group."""
        edited: list[Group] = []
        waiting = list(zip(originals, map(list, instructions), strict=True))
        while waiting := [(probe, tries) for probe, tries in waiting if tries]:
            texts = [tries.pop(0) for _, tries in waiting]
            images = [probe.image.clean or probe.image for probe, _ in waiting]
            names = [f"{image.id} {text}" for image, text in zip(images, texts, strict=True)]
            try:
                made = self.context.editor.edit(images, texts, self._seeds(names))
            except ToolError as error:
                self.unedited |= dict.fromkeys(texts, one_line(error))
                continue
            left = []
            for (probe, tries), text, image, warning in zip(waiting, texts, *made, strict=True):
                if warning:
                    self.unedited[text] = warning
                    left.append((probe, tries))
                else:
                    edited.append(Group(text, condition, original=probe))
                    self._images.append((edited[-1], image))
            waiting = left
        return edited

    def measure(self) -> None:
        """Generates and measures all that was asked for since the last call: one call of each engine.

        Raises:
            UsageError: the generator refuses a prompt; the message names it, and the settings to change.
        """
        asked = [group for group, samples in self._prompts for _ in range(samples)]
        texts = [group.text for group in asked]
        images = list(self._images)
        if texts:
            try:
                made = self.context.generator.generate(texts, self._seeds(texts))
            except MendableError as error:
                raise UsageError(self._why_refused(texts, error)) from error
            for group, warning in zip(asked, made.warnings, strict=True):
                group.warning = group.warning or warning
            self.refused |= {group.text: group.warning for group in asked if group.warning}
            images += [(group, image) for group, image in zip(asked, made.images, strict=True) if not group.warning]
        self._prompts, self._images, self._round = [], [], self._round + 1
        if not images:
            return
        activations, masked = self.context.system.neuron([image for _, image in images])
        for (group, _), activation, image in zip(images, activations, masked, strict=True):
            # A data set's image says nothing of where it comes from.
            shown = image.retitled(group.text) if group.text else image.anonymous().retitled("a real image")
            probe = Probe(condition=group.condition, text=group.text, activation=activation, image=shown)
            group.probes.append(probe)
        self.groups += list({id(group): group for group, _ in images}.values())

    def ordinary(self, count: int) -> list[Image]:
        """Draws images of the data set at random, others in every call."""
        dataset, drawn = self.context.dataset, []
        order = np.random.default_rng(self.seed).permutation(len(dataset))
        begin, self._drawn = self._drawn, self._drawn + count
        for place in order[begin : self._drawn]:
            try:
                drawn.append(dataset[int(place)])
            except UnreadableImage:
                continue
        return drawn

    def _why_refused(self, texts: Sequence[str], error: MendableError) -> str:
        """Returns which prompt the generator refuses, why, and what to set."""
        config, refused, why = self.context.config, "one of the prompts", error
        for text in dict.fromkeys(texts):
            try:
                self.context.generator.generate([text], self._seeds([text]))
            except MendableError as cause:
                refused, why = f"the prompt '{text}'", cause
                break
        return (
            f"the generator '{config.generator.name}' refuses {refused} of the judge '{config.judge.name}': "
            f"{one_line(why)}; choose another judge (--judge NAME) or generator (--generator NAME)"
        )

    def _seeds(self, texts: Sequence[str]) -> list[int]:
        return self.context.seeds([f"verification {self._attempt}.{self._round}: {text}" for text in texts])
