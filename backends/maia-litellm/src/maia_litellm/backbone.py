"""Any vision model that LiteLLM reaches, as the backbone of a run."""

from __future__ import annotations

from collections.abc import Sequence

from maia_core.plugin import BackboneInfo, CallLimits, Message, ModelOption, Reply, RunContext
from maia_litellm.chat import ChatModel
from maia_litellm.options import ModelConfig
from maia_vlm import with_descriptions


class LitellmBackbone:
    """OpenAI, Gemini, Anthropic, Azure, OpenRouter, Ollama, vLLM, or any server that speaks OpenAI's protocol.

    Attributes:
        info: What the model is and can do.
        is_service: True: see `maia_core.protocols.Backbone`.
    """

    is_service = True

    class Config(ModelConfig):
        """The options of the backbone."""

    info: BackboneInfo

    def __init__(self, config: Config, context: RunContext) -> None:
        self._context = context
        self._model = ChatModel(config, "backbone", context.warn, context.config.context_policy.images)
        self.info = self._model.info
        if not self.info.images:
            context.warn(
                f"{self.info.model} sees no images: the describer's descriptions stand in their place "
                "(backbone.images=true if it does see them)"
            )

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """See `maia_core.protocols.Backbone`."""
        if not self.info.images:
            messages = with_descriptions(messages, self._context.describer)
        return self._model.reply(messages, limits)

    @staticmethod
    def models() -> list[ModelOption]:
        """See `maia_core.protocols.ListsModels`."""
        from maia_litellm.sheets import sheets

        return sheets()
