"""`tools.compare_prompts`: conditions against controls, with replicates and intervals."""

from __future__ import annotations

from pydantic import Field

from maia_core.plugin import Image, PluginConfig, RunContext, System, ToolError
from maia_standard.images import generate
from maia_standard.log import place
from maia_stats import auc_interval, mean_interval


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

    def __call__(self, system: System, conditions: dict[str, list[str]], controls: list[str]) -> dict[str, list[float]]:
        """Compares conditions with controls: generates several images per prompt, measures them and logs them.

        For each condition you see the mean activation with its interval, its place among real images, and the AUC: the
        chance that a prompt of the condition gives more than a control (0.5: no difference, 1: always). The intervals
        are wider if you compare more conditions, so that none of many wins by luck. Prefer this tool to single images.

        Args:
            system: The unit.
            conditions: The prompts of each condition by its name: different pictures that share the tested property.
                Several prompts make the interval narrow; replicates of one prompt do not.
            controls: Prompts that lack the tested property and are similar otherwise.

        Returns:
            The activations of each condition by its name, and those of the controls under "controls".

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
        prompts = [prompt for group in groups.values() for prompt in group]
        # Each prompt of the call is replicated, the same prompt in two conditions too.
        images = iter(generate(self._context, [prompt for prompt in prompts for _ in range(self._config.samples)]))
        made = {
            name: [next(images) for _ in range(len(group) * self._config.samples)] for name, group in groups.items()
        }
        activations, masked = system.neuron([image for group in made.values() for image in group])
        measured, shown = iter(activations), iter(masked)
        found = {name: [(next(measured), next(shown)) for _ in group] for name, group in made.items()}
        self._sum_up(found)
        return {name: [activation for activation, _ in results] for name, results in found.items()}

    def _sum_up(self, found: dict[str, list[tuple[float, Image]]]) -> None:
        context, level = self._context, 1 - 0.05 / (len(found) - 1)
        means = {name: self._of_prompts([activation for activation, _ in results]) for name, results in found.items()}
        lines = [f"{level:.1%} intervals, {self._config.samples} images of each prompt:"]
        for name, results in found.items():
            value = mean_interval(means[name], level, context.seed)
            line = f"{name}: mean {value.value:.4g} ({value.low:.4g} to {value.high:.4g}){place(context, value.value)}"
            if name != "controls":
                effect = auc_interval(means[name], means["controls"], level, context.seed)
                line += f"; AUC against the controls {effect.value:.2f} ({effect.low:.2f} to {effect.high:.2f})"
                line += "" if effect.low > 0.5 else ": no sure difference"
            lines.append(line + f"; {len(means[name])} prompts")
            for activation, image in results:
                context.log(name, activation, image)
        context.show("\n".join(lines))
        for name, results in found.items():
            ranked = sorted(results, key=lambda result: -result[0])
            half = (self._config.shown + 1) // 2
            for activation, image in dict.fromkeys([*ranked[:half], *ranked[len(ranked) - self._config.shown // 2 :]]):
                context.show(f"{name} ({image.title}): activation {activation:.4g}{place(context, activation)}", image)

    def _of_prompts(self, activations: list[float]) -> list[float]:
        """Returns the mean of each prompt's replicates: they are not independent evidence."""
        step = self._config.samples
        return [sum(activations[n : n + step]) / step for n in range(0, len(activations), step)]
