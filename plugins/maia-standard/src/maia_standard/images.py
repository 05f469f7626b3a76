"""`tools.text2image` and `tools.edit_images`: new images, and controlled changes of one thing in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from maia_core.plugin import GeneratedImages, Image, PluginConfig, RunContext, ToolError

_REMOVAL = re.compile(r"\s*(please\s+)?(remove|delete|erase|get rid of|take away)\b", re.IGNORECASE)


class Text2Image:
    """Generates images with the run's generator."""

    uses = ("generator",)

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    def __call__(self, prompts: list[str]) -> list[Image]:
        """Generates one image for each prompt.

        A prompt that occurs several times in one call gives different images: `["a dog"] * 4` are four dogs. Use such
        replicates; do not trust a single image. The same call gives the same images again. If an image cannot show all
        of its prompt, a displayed note says what it shows instead.

        Args:
            prompts: What each image should show.

        Returns:
            One image per prompt, in the same order, titled with its prompt.

        Example:
            >>> def run_experiment(system, tools):
            ...     prompts = ["a dog on grass", "a dog on snow", "a cat on grass"]
            ...     activations, images = system.neuron(tools.text2image(prompts))
            ...     tools.log_experiment(activations, images, prompts)

        Example:
            >>> def run_experiment(system, tools):
            ...     prompts = ["a dog on grass", "a dog on snow", "a cat on grass"]
            ...     activations, images = system.neuron(tools.text2image(prompts))
            ...     return activations, images
        """
        return generate(self._context, prompts)


class EditImages:
    """Edits images with the run's editor."""

    uses = ("editor",)

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    def __call__(self, images: list[Image] | list[str], instructions: str | list[str]) -> tuple[list[Image], list[str]]:
        """Changes one thing in each image and leaves the rest as it is: this tests what causes an activation.

        Name the result: "replace the dog with a cat", "change the colour of the car to blue", "change the background to
        snow". Replace a thing; do not ask to remove it.

        Args:
            images: Images to edit, or prompts of images to generate first.
            instructions: One instruction per image, or one for all images.

        Returns:
            The images in pairs (original, edited, original, edited, ...), and a title for each, in the same order: the
            original's prompt or title, then the instruction.

        Example:
            >>> def run_experiment(system, tools):
            ...     images, titles = tools.edit_images(["a dog on grass"] * 3, "replace the dog with a cat")
            ...     activations, masked = system.neuron(images)
            ...     tools.log_experiment(activations, masked, titles)

        Example:
            >>> def run_experiment(system, tools):
            ...     images, titles = tools.edit_images(["a dog on grass"] * 3, "replace the dog with a cat")
            ...     activations, masked = system.neuron(images)
            ...     return list(zip(titles, activations)), masked
        """
        asked = [instructions] * len(images) if isinstance(instructions, str) else instructions
        asked = asked * len(images) if len(asked) == 1 else asked
        images = images * len(asked) if len(images) == 1 else images
        if len(asked) != len(images):
            raise ToolError(
                f"edit_images needs one instruction per image: {len(images)} images, {len(asked)} instructions"
            )
        if not images:
            raise ToolError("edit_images needs at least one image or prompt")
        prompts = [item for item in images if isinstance(item, str)]
        # Originals and edits together, before any is generated: originals that cannot be edited would be wasted.
        self._context.spend_images(len(prompts) + len(images))
        originals = (
            _generated(self._context, prompts) if prompts else [i.clean or i for i in images if isinstance(i, Image)]
        )
        if any(map(_REMOVAL.match, asked)):
            self._context.show(
                'Note: an edit that replaces works better than one that removes, as in "replace A with B".'
            )
        # Replicates differ through their originals; what is edited how decides the rest.
        seeds = self._context.seeds([f"{image.id} {text}" for image, text in zip(originals, asked, strict=True)])
        edited = _checked(self._context, asked, self._context.editor.edit(originals, asked, seeds))
        pairs = list(zip(originals, edited, strict=True))
        titles = [name for pair in zip((image.title for image in originals), asked, strict=True) for name in pair]
        return [image for pair in pairs for image in pair], titles


def generate(context: RunContext, prompts: Sequence[str]) -> list[Image]:
    """Generates one image per prompt with the run's generator, and displays its warnings."""
    if not prompts:
        raise ToolError("text2image needs at least one prompt")
    context.spend_images(len(prompts))
    return _generated(context, prompts)


def _generated(context: RunContext, prompts: Sequence[str]) -> list[Image]:
    return _checked(context, prompts, context.generator.generate(prompts, context.seeds(prompts)))


def _checked(context: RunContext, texts: Sequence[str], made: GeneratedImages) -> list[Image]:
    notes = dict.fromkeys(
        f'Note on "{text}": {warning}' for text, warning in zip(texts, made.warnings, strict=True) if warning
    )
    context.show(*notes)
    return [image.retitled(text) for text, image in zip(texts, made.images, strict=True)]
