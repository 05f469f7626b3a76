"""Images made and edited by a service: DALL-E, gpt-image, Gemini, or any server that speaks OpenAI's image API."""

from __future__ import annotations

from collections.abc import Sequence

from maia_core.plugin import GeneratedImages, Image, RunContext, UsageError, recordable
from maia_litellm.image_client import ImageClient
from maia_litellm.image_request import Order, PictureConfig


class LitellmGenerator:
    """Makes images from prompts by a service that LiteLLM reaches.

    Attributes:
        fingerprint: Changes with the model, its address and how it is asked.
    """

    batched = False  # The sessions ask the service at the same time.

    class Config(PictureConfig):
        """The options of the generator."""

        size: str = "1024x1024"
        """Width and height, as the model takes them; empty: the model's default."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._client = ImageClient(config, config.size, context, "generator")
        self.fingerprint = self._client.fingerprint
        self.cache_name, self.cache_step = self._client.cache_name, self._client.cache_step
        self.cache_key = self._client.cache_key

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Makes one image per prompt.

        Raises:
            UsageError: there are not as many seeds as prompts.
            ToolError: the service does not take some of the prompts.
            RunError: the service fails.
        """
        if len(prompts) != len(seeds):
            raise UsageError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")
        orders = [Order(recordable(prompt), seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return self._client.draw(orders)


class LitellmEditor:
    """Changes images as instructed by a service that LiteLLM reaches.

    Attributes:
        fingerprint: Changes with the model, its address and how it is asked.
    """

    batched = False  # The sessions ask the service at the same time.

    class Config(PictureConfig):
        """The options of the editor."""

        size: str = ""
        """Width and height of the edited image, as the model takes them; empty: the model's default, which for
        gpt-image models is the shape of the original."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._client = ImageClient(config, config.size, context, "editor")
        self.fingerprint = self._client.fingerprint
        self.cache_name, self.cache_step = self._client.cache_name, self._client.cache_step
        self.cache_key = self._client.cache_key

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Edits each image by its instruction, on its clean pixels; the size is the service's.

        Raises:
            UsageError: images, instructions and seeds are not equally many.
            ToolError: the service does not take some of the instructions or images.
            RunError: the service fails.
        """
        if not len(images) == len(instructions) == len(seeds):
            raise UsageError(
                f"{len(images)} images need as many instructions and seeds, not {len(instructions)} and {len(seeds)}"
            )
        orders = [
            Order(recordable(instruction), seed, image.clean or image)
            for image, instruction, seed in zip(images, instructions, seeds, strict=True)
        ]
        return self._client.draw(orders)
