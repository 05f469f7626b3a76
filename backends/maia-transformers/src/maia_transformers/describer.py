"""A local Hugging Face vision-language model as a describer, several images at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from maia_core.plugin import Message, Reply, RunContext, UsageError
from maia_hub.batches import Batches
from maia_transformers.options import ModelOptions, require
from maia_vlm import ChatDescriber

if TYPE_CHECKING:
    from maia_transformers.chat import Chat


class TransformersDescriber(ChatDescriber):
    """Asks a vision-language model what images show: each image in a fresh conversation, many of these in a batch.

    It always takes the likeliest token, so that the same image is described alike.
    """

    class Config(ModelOptions):
        """Options of the describer."""

        batch: int = Field(8, gt=0)
        """Images that are described at once; halved where memory does not suffice."""
        tokens: int = Field(128, gt=0)
        """Longest description."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Loads the model, or shares what is loaded.

        Raises:
            PluginError: a package is missing.
            UsageError: there is no such model or device, it cannot be loaded, or sees no images.
            RunError: the hub cannot be reached, or memory does not suffice.
        """
        require("describer")
        from maia_transformers.chat import Chat

        self._chat = Chat(config, context.warn)
        if not self._chat.images:
            self._chat.close()
            raise UsageError(f"{config.model} sees no images; choose a vision-language model as the describer")
        self.cache_name = f"transformers-describer-{config.model}"
        self.cache_step = 4 * config.batch
        super().__init__(
            _BatchedChat(self._chat, config.batch, config.tokens, context.warn),
            f"{self._chat.fingerprint} {config.tokens}",
            config.max_pictures,
        )

    def close(self) -> None:
        """Frees the weights, unless a backbone still uses them."""
        self._chat.close()


class _BatchedChat:
    """Answers any number of conversations, as many at once as memory allows."""

    def __init__(self, chat: Chat, size: int, tokens: int, warn: Callable[[str], None]) -> None:
        """Takes the model, the largest batch and the maximum length of a reply in tokens."""
        from maia_transformers.chat import OutOfMemory

        self._answer = partial(chat.answer, tokens=tokens)
        too_large = partial(OutOfMemory, f"one image does not fit into memory; {chat.memory_advice}")
        self._batches = Batches(size, chat.device, too_large=too_large, warn=warn)

    def __call__(self, conversations: Sequence[Sequence[Message]]) -> list[Reply]:
        """Returns the replies in the order of the conversations.

        Raises:
            BackboneError: memory does not suffice for a single one, or the model failed.
        """
        # Conversations of similar length share a batch, which needs the least padding.
        order = sorted(range(len(conversations)), key=lambda index: _length(conversations[index]))
        replies = self._batches.map(self._answer, [conversations[index] for index in order])
        return [reply for _, reply in sorted(zip(order, replies, strict=True), key=lambda pair: pair[0])]


def _length(conversation: Sequence[Message]) -> tuple[int, int]:
    pixels = sum(image.width * image.height for message in conversation for image in message.images)
    return pixels, sum(len(message.text) for message in conversation)
