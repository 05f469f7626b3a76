"""`tools.describe_images` and `tools.summarize_images`: what images show, by someone who knows no hypothesis."""

from __future__ import annotations

from maia_core.plugin import Image, PluginConfig, RunContext, ToolError


class DescribeImages:
    """Describes images one by one with the run's describer."""

    uses = ("describer",)

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    def __call__(self, images: list[Image], titles: list[str]) -> str:
        """Describes what the bright (unmasked) region of each image shows.

        The describer sees pixels and masks only: no title, no prompt, no hypothesis. It checks whether an image shows
        what you expect.

        Args:
            images: The images, masked or not.
            titles: One title per image.

        Returns:
            One line per image: its title, a colon, its description.

        Example:
            >>> def run_experiment(system, tools):
            ...     prompts = ["a dog on grass", "a red car"]
            ...     activations, images = system.neuron(tools.text2image(prompts))
            ...     print(tools.describe_images(images, prompts))

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = tools.dataset_exemplars(system)
            ...     print(tools.describe_images(images, [image.title for image in images]))
        """
        if len(images) != len(titles):
            raise ToolError(f"describe_images needs one title per image: {len(images)} images, {len(titles)} titles")
        descriptions = self._context.describer.describe([image.anonymous() for image in images]) if images else []
        return "\n".join(f"{title}: {text}" for title, text in zip(titles, descriptions, strict=True))


class SummarizeImages:
    """Sums up what images have in common with the run's describer."""

    uses = ("describer",)

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    def __call__(self, images: list[Image]) -> str:
        """Says what the bright (unmasked) regions of all images have in common.

        Args:
            images: The images, masked or not.

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = tools.dataset_exemplars(system)
            ...     print(tools.summarize_images(images))

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = system.neuron(tools.text2image(["a dog on grass", "a red car"]))
            ...     print(tools.summarize_images(images))
        """
        if not images:
            raise ToolError("summarize_images needs at least one image")
        return self._context.describer.summarize([image.anonymous() for image in images])
