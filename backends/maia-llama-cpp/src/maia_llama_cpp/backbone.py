"""A local GGUF model as backbone."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from maia_core.plugin import BackboneInfo, CallLimits, Message, ModelOption, Reply, RunContext, program_end
from maia_llama_cpp.local import LocalModel
from maia_llama_cpp.memory import Conversation
from maia_llama_cpp.native import install_command, is_installed
from maia_llama_cpp.options import ModelOptions
from maia_vlm import with_descriptions
from maia_vlm.packing import TILES

DESCRIPTION_TOKENS = 60
"""About what a description takes that stands for an image."""


class LlamaCppBackbone:
    """A model in a GGUF file, in this process: LLaVA and its kin with a projector, any chat model without.

    A model without a projector sees no images: the run's describer describes them. Replies repeat for the same
    conversation and seed. Half of a call's time may go into reading the conversation; what was read is kept, and the
    loop's next try reads on. A reply that takes longer than it may ends where it is, with stop "length". A reply ends
    behind its first program: what a small model writes after it are invented results.

    Attributes:
        info: What the model is and can do.
    """

    class Config(ModelOptions):
        """Options of the local model."""

        temperature: float = Field(0.2, ge=0, allow_inf_nan=False)
        """How freely it writes; 0 takes the likeliest word always."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Loads the model.

        Raises:
            PluginError: llama-cpp-python is missing or broken, or crashes.
            UsageError: a file or an option cannot be used.
        """
        self._context, self._temperature = context, config.temperature
        self._model, self._conversation = LocalModel(config, context, "backbone"), Conversation()
        self._warned = False
        sees = self._model.sees
        self.info = BackboneInfo(
            name="llama-cpp",
            model=self._model.name,
            images=sees,
            max_images=self._model.most_pictures * TILES[-1] if sees else None,
            context_tokens=self._model.context,
            image_tokens=self._model.image_tokens if sees else DESCRIPTION_TOKENS,
            system_role=self._model.system_role,
        )

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """See `maia_core.protocols.Backbone`."""
        if not self.info.images and any(message.images for message in messages):
            describer = self._context.describer
            if not self._warned:
                self._warned = True
                name = self._context.config.describer.name
                self._context.warn(f"{self.info.model} sees no images: describer '{name}' describes them in words")
            messages = with_descriptions(messages, describer)
        most_images = self._context.config.context_policy.images
        return self._model.reply(
            self._conversation, messages, limits, self._temperature, most_images, whole=program_end
        )

    def close(self) -> None:
        """Gives the weights back; they are freed if nobody else uses them. The backbone cannot be used afterwards."""
        self._model.close()

    @staticmethod
    def models() -> list[ModelOption]:
        """See `maia_core.protocols.ListsModels`: one line, for whatever file is given."""
        ready = is_installed()
        files = "any chat model in a GGUF file: -o backbone.model=FILE.gguf -o backbone.projector=MMPROJ.gguf"
        return [
            ModelOption(
                model="FILE.gguf",
                ready=ready,
                info=BackboneInfo(name="llama-cpp"),
                input_price=0,
                output_price=0,
                note=files if ready else f"llama-cpp-python is missing: {install_command()}",
            )
        ]
