"""A local model as backbone and describer use it: conversations in, replies out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maia_core.plugin import BackboneError, CallLimits, Message, Reply, RunContext
from maia_llama_cpp.files import fingerprint
from maia_llama_cpp.memory import Conversation
from maia_llama_cpp.options import ModelOptions, checked
from maia_llama_cpp.projector import sample_picture
from maia_llama_cpp.shared import acquire, engines
from maia_llama_cpp.template import Turn, choose_template
from maia_vlm import ImageLimits, PackedMessage, Picture, pack, split_reasoning

MIN_SIDE, MAX_SIDE = 32, 1024
"""Sides of pictures in pixels: below, some encoders have no patch to see; above, a picture fills the window."""

IMAGE_SHARE = 2
"""Untiled pictures may take half of the window."""


class LocalModel:
    """One model and its chat template, with its share of the process's one copy of the weights.

    Attributes:
        name: Name of its file.
        fingerprint: Changes with the files and with how they are used.
        sees: Whether it takes pictures.
        context: Tokens of its window.
        image_tokens: Tokens of one picture of ordinary size; 0 for a model that sees none.
        most_pictures: Most pictures of one request; more images are tiled.
        system_role: Whether its template has a place for a system message.
    """

    def __init__(self, config: ModelOptions, context: RunContext, options: str) -> None:
        """Checks the files and loads them, if they are not loaded yet.

        Args:
            config: The options.
            context: The run's context.
            options: Where they are set, for messages: `backbone` or `describer`.

        Raises:
            PluginError: llama-cpp-python is missing or broken, or crashes.
            UsageError: a file or an option cannot be used.
        """
        file, files = checked(config, options)
        self.name, self.sees, self.context = file.name, files.projector is not None, files.context
        prints = [fingerprint(path) for path in (files.model, files.projector) if path]
        self.fingerprint = " ".join([*prints, config.chat_format, str(files.context)])
        self._engine, self._give_back = acquire(self, files, context)
        self._template = choose_template(
            config.chat_format,
            file.chat_template,
            bos=self._engine.bos,
            eos=self._engine.eos,
            sees=self.sees,
            option=f"{options}.chat_format",
        )
        self.system_role = self._template.system_role
        self.image_tokens = self._engine.count(self._engine.marker, [sample_picture()]) if self.sees else 0
        self.most_pictures = max(1, self.context // IMAGE_SHARE // self.image_tokens) if self.sees else 0
        self._limits = ImageLimits(count=self.most_pictures or None, min_side=MIN_SIDE, max_side=MAX_SIDE)

    def reply(
        self,
        conversation: Conversation,
        messages: Sequence[Message],
        limits: CallLimits,
        temperature: float,
        most_images: int | None = None,
        whole: Callable[[str], int | None] = lambda text: None,
    ) -> Reply:
        """Answers a conversation; it comes to hold `most_images`, see `maia_vlm.pack`. It stops where it is `whole`.

        Raises:
            ContextTooLong: it does not fit the window.
            BackboneError: it cannot be answered.
        """
        packed = pack(messages, self._limits, most_images)
        prompt = self._template.render([self._turn(message) for message in packed])
        pictures = [part for message in packed for part in message.parts if isinstance(part, Picture)]
        answer = self._engine.answer(
            conversation, prompt, pictures, limits, temperature=temperature, stops=self._template.stops, whole=whole
        )
        reasoning, text = split_reasoning(answer.text, prompt)
        return Reply(text=text, stop=answer.stop, model=self.name, usage=answer.usage, reasoning=reasoning)

    def close(self) -> None:
        """Gives the weights back; they are freed if nobody else in this process uses them. Twice is allowed."""
        self._give_back()
        engines.free_unused()

    def _turn(self, message: PackedMessage) -> Turn:
        parts = []
        for part in message.parts:
            if isinstance(part, str):
                parts.append(self._engine.neutral(part))
            elif self.sees:
                parts.append(self._engine.marker)
            else:
                raise BackboneError(f"{self.name} sees no images; set its projector, or describe them")
        return Turn(message.role, "\n".join(parts))
