"""`tools.compare_prompts`: conditions against controls, with replicates and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from maia_core.plugin import Image, PluginConfig, RunContext, System, ToolError
from maia_standard.images import generate
from maia_standard.log import place
from maia_stats import auc_interval, mean_interval


class Measured(NamedTuple):
    """A prompt, and the activation and masked image of each replicate."""

    prompt: str
    results: Sequence[tuple[float, Image]]

    @property
    def mean(self) -> float:
        """The mean of the replicates: they are not independent evidence."""
        return sum(activation for activation, _ in self.results) / len(self.results)


class ComparePrompts:
    """Measures conditions with several images per prompt."""

    uses = ("generator",)

    class Config(PluginConfig):
        """Options of `compare_prompts`."""

        samples: int = Field(3, gt=1, le=50)
        """Images of each prompt."""
        shown: int = Field(2, ge=0, le=20)
        """Images of each condition that are displayed: the highest, then the lowest."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._config = config
        self._context = context

    def __call__(
        self, system: System, conditions: dict[str, list[str]], controls: list[str]
    ) -> dict[str, dict[str, float]]:
        """Compares conditions with controls: generates several images per prompt, measures them and logs them.

        For each condition you see the mean activation with its interval, its place among real images, the AUC (the
        chance that a prompt of the condition gives more than a control; 0.5: no difference, 1: always), the mean of
        each prompt, and the highest and lowest image. The intervals are wider if you compare more conditions, so that
        none of many wins by luck. Prefer this tool to single images. A prompt that the generator cannot show is left
        out.

        Args:
            system: The unit.
            conditions: The prompts of each condition by its name: different pictures that share the tested property.
                Several prompts make the interval narrow; replicates of one prompt do not.
            controls: Prompts that lack the tested property and are similar otherwise.

        Returns:
            The mean activation of each prompt, by the name of its condition; those of the controls under "controls".

        Example:
            >>> def run_experiment(system, tools):
            ...     conditions = {
            ...         "dogs": ["a dog on grass", "a dog on sand", "a small dog", "two dogs"],
            ...         "cats": ["a cat on grass", "a cat on sand", "a small cat", "two cats"],
            ...     }
            ...     tools.compare_prompts(system, conditions, ["grass", "a car on sand", "a small cup", "two balls"])
        """
        if not conditions or not controls or not all(conditions.values()):
            raise ToolError("compare_prompts needs at least one condition, one prompt in each, and one control")
        if "controls" in conditions:
            raise ToolError("compare_prompts: no condition can be called 'controls'; give it another name")
        groups = {**conditions, "controls": controls}
        step = self._config.samples
        # Each prompt of the call is replicated, the same prompt in two conditions too.
        images = generate(self._context, [prompt for group in groups.values() for prompt in group for _ in range(step)])
        made = iter([images[n : n + step] for n in range(0, len(images), step)])
        drawn = {name: [(prompt, next(made)) for prompt in group] for name, group in groups.items()}
        shown = {name: [one for one in pairs if not _lacks(one[1])] for name, pairs in drawn.items()}
        if empty := [name for name, pairs in shown.items() if not pairs]:
            raise ToolError(f"compare_prompts: the generator can show no prompt of {', '.join(map(repr, empty))}")
        measured = iter(
            zip(*system.neuron([i for pairs in shown.values() for _, own in pairs for i in own]), strict=True)
        )
        results = {
            name: [Measured(prompt, [next(measured) for _ in own]) for prompt, own in pairs]
            for name, pairs in shown.items()
        }
        self._sum_up(results)
        return {name: {one.prompt: float(f"{one.mean:.4g}") for one in group} for name, group in results.items()}

    def _sum_up(self, results: dict[str, list[Measured]]) -> None:
        context, level = self._context, 1 - 0.05 / (len(results) - 1)
        means = {name: [one.mean for one in group] for name, group in results.items()}
        lines = [f"{level:.1%} intervals, {self._config.samples} images of each prompt:"]
        for name, group in results.items():
            value = mean_interval(means[name], level, context.seed)
            line = f"{name}: mean {value.value:.4g} ({value.low:.4g} to {value.high:.4g}){place(context, value.value)}"
            if name != "controls":
                effect = auc_interval(means[name], means["controls"], level, context.seed)
                line += f"; AUC against the controls {effect.value:.2f} ({effect.low:.2f} to {effect.high:.2f})"
                line += "" if effect.low > 0.5 else ": no sure difference"
            lines.append(line + f"; {len(group)} prompts")
            lines += [f"    {one.prompt}: {one.mean:.4g}" for one in sorted(group, key=lambda one: -one.mean)]
            for activation, image in [result for one in group for result in one.results]:
                context.log(name, activation, image)
        context.show("\n".join(lines))
        for name, group in results.items():
            ranked = sorted((result for one in group for result in one.results), key=lambda result: -result[0])
            high, low = (self._config.shown + 1) // 2, self._config.shown // 2
            for which, chosen in (("highest", ranked[:high]), ("lowest", ranked[max(high, len(ranked) - low) :])):
                for activation, image in chosen:
                    where = place(context, activation)
                    context.show(f"{name}, {which} ({image.title}): activation {activation:.4g}{where}", image)


def _lacks(images: Sequence[Image]) -> bool:
    return any(image.provenance.get("missing") for image in images)
