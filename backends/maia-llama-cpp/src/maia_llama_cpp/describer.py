"""A local multimodal GGUF model as describer."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from maia_core.plugin import (
    BackboneBusy,
    BackboneError,
    CallLimits,
    ContextTooLong,
    Message,
    Reply,
    RunContext,
    ToolError,
    UsageError,
    validated,
)
from maia_llama_cpp.local import LocalModel
from maia_llama_cpp.memory import Conversation
from maia_llama_cpp.options import ModelOptions
from maia_vlm import ChatDescriber


class LlamaCppDescriber(ChatDescriber):
    """Describes images with a model in a GGUF file and its projector, each image in a fresh conversation.

    Without a file of its own it uses the one of the run's backbone, where that is `llama-cpp`, too: the weights are
    loaded once. It always takes the likeliest words, so that the same image is described alike.
    """

    cache_name = "llama-cpp-describer"
    cache_step = 16

    class Config(ModelOptions):
        """Options of the describer; with the same file as a backbone `llama-cpp`, what is not set is as there."""

        answer_tokens: int = Field(160, gt=0)
        """Longest description."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Loads the model.

        Raises:
            PluginError: llama-cpp-python is missing or broken, or crashes.
            UsageError: a file or an option cannot be used, or the model sees no images.
        """
        options, where = _with_backbones(config, context)
        if options.model and not options.projector:
            raise UsageError(f"describer 'llama-cpp' needs a model that sees: set {where}.projector to its projector")
        self._model = LocalModel(options, context, where)
        self._limits = CallLimits(max_output_tokens=config.answer_tokens, seconds=context.config.limits.call_seconds)
        super().__init__(
            self._answers, f"{self._model.fingerprint} {self._limits.max_output_tokens}", self._model.most_pictures
        )

    def close(self) -> None:
        """Gives the weights back; they are freed if nobody else uses them. The describer cannot be used afterwards."""
        self._model.close()

    def _answers(self, conversations: Sequence[Sequence[Message]]) -> list[Reply]:
        conversation = Conversation(keep=False)
        try:
            return [
                self._model.reply(conversation, messages, self._limits, temperature=0) for messages in conversations
            ]
        except BackboneBusy as error:
            raise BackboneError(
                "the describer reads images too slowly for limits.call_seconds; take a smaller model, or a graphics "
                "processor (gpu_layers)"
            ) from error
        except ContextTooLong as error:
            raise ToolError("so many images do not fit into the describer's window; give it fewer at once") from error


def _with_backbones(config: LlamaCppDescriber.Config, context: RunContext) -> tuple[ModelOptions, str]:
    """Fills in the backbone's options where it uses the same file; returns them and where the file is named."""
    backbone = context.config.backbone
    if backbone.name.partition("@")[0] != "llama-cpp":
        return config, "describer"
    known = ModelOptions.model_fields.keys()
    given = {name: value for name, value in backbone.options.items() if name in known}
    own = {name: getattr(config, name) for name in config.model_fields_set & known}
    if own.get("model", given.get("model")) != given.get("model"):
        return config, "describer"
    return validated(ModelOptions, given | own, "options of backbone 'llama-cpp'"), "backbone"
