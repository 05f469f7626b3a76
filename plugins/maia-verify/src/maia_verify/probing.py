"""Fresh images: made, measured, and grouped by what they were made for."""

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
        probes: One an image.
        noted: What the generator said about them: they do not show what was asked for.
    """

    text: str
    probes: list[Probe] = field(default_factory=list)
    noted: str = ""

    @property
    def mean(self) -> float:
        """Mean activation of the replicates."""
        return float(np.mean([probe.activation for probe in self.probes]))


class Laboratory:
    """Makes and measures the images of one verification.

    Attributes:
        probes: Every image that was measured, in order.
        refused: Prompts that the generator could not follow, and what it said.
        context: The run's parts.
        seed: Changes with every attempt, and differs from the seeds of the experiments.
    """

    def __init__(self, context: RunContext, attempt: int) -> None:
        self.context = context
        self.probes: list[Probe] = []
        self.refused: dict[str, str] = {}
        self._attempt = attempt
        self.seed = self._seeds(["statistics"])[0]

    def generate(self, condition: str, prompts: Sequence[str], samples: int) -> list[Group]:
        """Makes `samples` images of each prompt and measures them; prompts that could not be followed are left out.

        Raises:
            UsageError: the generator refuses a prompt; the message names it, and the settings to change.
        """
        texts = [prompt for prompt in dict.fromkeys(prompts) for _ in range(samples)]
        if not texts:
            return []
        try:
            made = self.context.generator.generate(texts, self._seeds(texts))
        except MendableError as error:
            raise UsageError(self._why_refused(texts, error)) from error
        return self._measured(condition, texts, made.images, made.warnings)

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

    def edit(self, condition: str, originals: Sequence[Probe], instructions: Sequence[str]) -> list[Group]:
        """Edits measured images: one group an edit, in the order given; one that was not possible has no probe."""
        if not originals:
            return []
        images = [probe.image.clean or probe.image for probe in originals]
        names = [f"{image.id} {text}" for image, text in zip(images, instructions, strict=True)]
        try:
            made = self.context.editor.edit(images, instructions, self._seeds(names))
        except ToolError:
            return [Group(text, noted="not possible") for text in instructions]
        groups = [Group(text, noted=note) for text, note in zip(instructions, made.warnings, strict=True)]
        kept = [place for place, group in enumerate(groups) if not group.noted]
        probes = self.measure(condition, [made.images[n] for n in kept], [groups[n].text for n in kept])
        for place, probe in zip(kept, probes, strict=True):
            groups[place].probes.append(probe)
        return groups

    def measure(self, condition: str, images: Sequence[Image], texts: Sequence[str]) -> list[Probe]:
        """Measures images."""
        if not images:
            return []
        activations, masked = self.context.system.neuron(images)
        probes = [
            Probe(condition=condition, text=text, activation=activation, image=image.retitled(text))
            for text, activation, image in zip(texts, activations, masked, strict=True)
        ]
        self.probes += probes
        return probes

    def ordinary(self, count: int, level: float) -> list[Image]:
        """Draws images of the data set that do not reach an activation; of those that all do, the lowest."""
        dataset = self.context.dataset
        drawn: list[Image] = []
        for place in np.random.default_rng(self.seed).permutation(len(dataset))[: 2 * count]:
            try:
                drawn.append(dataset[int(place)])
            except UnreadableImage:
                continue
        activations = self.context.system.neuron(drawn)[0] if drawn else []
        ranked = sorted(zip(activations, range(len(drawn)), strict=True))
        low = [place for activation, place in ranked if activation < level]
        chosen = low if len(low) >= count // 2 else [place for _, place in ranked[: count // 2]]
        return [drawn[place] for place in sorted(chosen)[:count]]

    def _measured(
        self, condition: str, texts: Sequence[str], images: Sequence[Image], warnings: Sequence[str]
    ) -> list[Group]:
        groups = {text: Group(text) for text in texts}
        for text, warning in zip(texts, warnings, strict=True):
            groups[text].noted = groups[text].noted or warning
        kept = [n for n, text in enumerate(texts) if not groups[text].noted]
        for probe in self.measure(condition, [images[n] for n in kept], [texts[n] for n in kept]):
            groups[probe.text].probes.append(probe)
        self.refused |= {group.text: group.noted for group in groups.values() if group.noted}
        return [group for group in groups.values() if group.probes]

    def _seeds(self, texts: Sequence[str]) -> list[int]:
        return self.context.seeds([f"verification {self._attempt}: {text}" for text in texts])
