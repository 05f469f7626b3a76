"""A local Hugging Face model as the backbone."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from maia_core.plugin import BackboneInfo, CallLimits, Message, ModelOption, Reply, RunContext
from maia_transformers.options import ModelOptions, missing, require
from maia_vlm import with_descriptions
from maia_vlm.packing import TILES


class TransformersBackbone:
    """Any model that transformers loads for images and text, or for text alone: then a describer sees for it.

    Attributes:
        info: What it is and can do.
    """

    class Config(ModelOptions):
        """Options of the backbone."""

        temperature: float | None = Field(None, ge=0, allow_inf_nan=False)
        """How randomly it writes: 0 takes the likeliest token; by default as the model's own settings say."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Loads the model, or shares what is loaded.

        Raises:
            PluginError: a package is missing.
            UsageError: there is no such model or device, or it cannot be loaded.
            RunError: the hub cannot be reached, or memory does not suffice.
        """
        require("backbone")
        from maia_transformers.chat import Chat

        self._context = context
        self._temperature = config.temperature
        self._chat = Chat(config, context.warn)
        if not self._chat.images:
            context.warn(f"{config.model} sees no images; the describer's words stand in their place")
        self.info = BackboneInfo(
            name="transformers",
            model=config.model,
            images=self._chat.images,
            max_images=config.max_pictures and config.max_pictures * TILES[-1],
            context_tokens=self._chat.window,
            image_tokens=self._chat.image_tokens,
            system_role=self._chat.system_role,
        )

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """See `maia_core.protocols.Backbone`."""
        if not self.info.images:
            messages = with_descriptions(messages, self._context.describer)
        [reply] = self._chat.answer(
            [messages],
            tokens=limits.max_output_tokens,
            seconds=limits.seconds,
            temperature=self._temperature,
            seed=limits.seed,
        )
        return reply

    def close(self) -> None:
        """Frees the weights, unless a describer still uses them."""
        self._chat.close()

    @staticmethod
    def models() -> list[ModelOption]:
        """See `maia_core.protocols.ListsModels`."""
        lacking = missing()
        note = "any vision-language or text model of the hub, or a folder: -o backbone.model=..."
        return [
            ModelOption(
                model="OWNER/NAME",
                ready=not lacking,
                info=BackboneInfo(name="transformers"),
                input_price=0,
                output_price=0,
                note=f"{note} (first pip install {' '.join(lacking)})" if lacking else note,
            )
        ]
