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
        of its prompt, a displayed note and its title say what it shows instead.

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
            images: Images to edit, or prompts: their originals are the images that tools.text2image makes of them.
            instructions: One instruction per image, or one for all images.

        Returns:
            The images in pairs (original, edited, original, edited, ...), and the title of each in the same order: the
            edited one's names its original, as in "a dog on grass: replace the dog with a cat".

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
        made = self._context.editor.edit(originals, asked, seeds)
        _show_warnings(self._context, asked, made)
        titles = [f"{image.title or 'image'}: {text}" for image, text in zip(originals, asked, strict=True)]
        edited = _titled(titles, made)
        images = [image for pair in zip(originals, edited, strict=True) for image in pair]
        return images, [image.title for image in images]


def generate(context: RunContext, prompts: Sequence[str]) -> list[Image]:
    """Generates one image per prompt with the run's generator, and displays its warnings."""
    if not prompts:
        raise ToolError("text2image needs at least one prompt")
    context.spend_images(len(prompts))
    return _generated(context, prompts)


def _generated(context: RunContext, prompts: Sequence[str]) -> list[Image]:
    made = context.generator.generate(prompts, context.seeds(prompts))
    _show_warnings(context, prompts, made)
    return _titled(prompts, made)


def _show_warnings(context: RunContext, texts: Sequence[str], made: GeneratedImages) -> None:
    """Displays each warning once, with the texts that it is about."""
    about: dict[str, dict[str, None]] = {}
    for text, warning in zip(texts, made.warnings, strict=True):
        if warning:
            about.setdefault(warning, {})[f'"{text}"'] = None
    context.show(*(f"Note on {', '.join(about[warning])}: {warning}" for warning in about))


def _titled(texts: Sequence[str], made: GeneratedImages) -> list[Image]:
    """Titles images with what was asked for; one with a warning first says what it shows, where that is known."""
    return [
        image.retitled(f"{image.shows} (asked for: {text})" if warning and image.shows else text)
        for text, image, warning in zip(texts, made.images, made.warnings, strict=True)
    ]
