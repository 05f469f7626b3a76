"""Any vision model that LiteLLM reaches, as the describer of a run: each image in a fresh conversation."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from pydantic import Field

from maia_core.plugin import CallLimits, Message, Reply, RunContext, UsageError
from maia_litellm.chat import ChatModel
from maia_litellm.options import ModelConfig
from maia_litellm.retrying import retrying
from maia_vlm import ChatDescriber


class LitellmDescriber(ChatDescriber):
    """Describes images by asking a model, several images at a time.

    Attributes:
        fingerprint: Changes with the model that is asked, with how it is asked and with the questions.
    """

    batched = False  # The sessions ask the service at the same time.

    class Config(ModelConfig):
        """The options of the describer: those of the backbone, and how much it does at once."""

        parallel: int = Field(8, gt=0, le=64)
        """How many images are asked about at the same time."""
        reply_tokens: int = Field(300, gt=0)
        """Longest description."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._context = context
        self._model = ChatModel(config, "describer", context.warn)
        self._parallel = config.parallel
        limits = context.config.limits
        self._limits = CallLimits(
            max_output_tokens=config.reply_tokens, seconds=limits.reply_seconds, seed=context.seed
        )
        self._retries, self._retry_seconds = limits.retries, limits.retry_seconds
        if not self._model.info.images:
            raise UsageError(
                f"{self._model.info.model} sees no images, so it cannot describe any: set another describer.model "
                "(or describer.images=true if it does see them)"
            )
        self.cache_name = f"litellm-describer-{self._model.info.model}"
        self.cache_step = 4 * config.parallel
        super().__init__(self._answer, self._model.identity, self._model.info.max_images)

    def _answer(self, conversations: Sequence[Sequence[Message]]) -> list[Reply]:
        with ThreadPoolExecutor(min(self._parallel, max(1, len(conversations)))) as pool:
            # Each counts for the run that asks.
            replies = [pool.submit(copy_context().run, self._one, each) for each in conversations]
            return [reply.result() for reply in replies]

    def _one(self, conversation: Sequence[Message]) -> Reply:
        reply = retrying(
            lambda: self._model.reply(conversation, self._limits),
            retries=self._retries,
            seconds=self._retry_seconds,
        )
        self._context.spend(reply.usage)
        return reply
