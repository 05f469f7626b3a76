"""Makes one prompt of a conversation with a model's own chat template, whatever that template can and cannot do."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from maia_core.plugin import UsageError, one_line
from maia_transformers.neutral import Neutral, control_tokens
from maia_vlm import PackedMessage, Picture, bounded, without_system

Content = Literal["parts", "text"]
"""How a template wants what a message says: a list of typed parts, or one text."""

ANY_PICTURE = Picture(b"", "png", 1, 1)
TEXT = {"tokenize": False, "add_generation_prompt": True}
KEPT_PROMPTS = 32
"""Prompts that a template keeps: all images of one size are described with the same one."""
PROBE = ("probe-system", "probe-before", "probe-between", "probe-reply", "probe-after")
"""Texts that are easily found again in a prompt."""


@dataclass(frozen=True)
class Form:
    """What a template takes.

    Attributes:
        system: How it wants the system message; None: it has no such role, and the first user message begins with it.
        user: How it wants a user message.
        assistant: How it wants a reply.
    """

    system: Content | None
    user: Content
    assistant: Content


class ChatTemplate:
    """A model's chat template, tried out once with a small conversation.

    Attributes:
        system_role: Whether it has a system role.
        placeholder: A token that it writes once for each picture; empty for a model that sees none.
        interleaved: Whether pictures stay between the texts where they were. Some templates put them before the text of
            their message; a mark then stands where each was.
    """

    def __init__(self, processor: Any, tokenizer: Any, *, images: bool) -> None:
        """Finds the form that the template takes.

        Args:
            processor: What has the template; the tokenizer itself for a model that sees no images.
            tokenizer: Its tokenizer.
            images: Whether conversations hold pictures.

        Raises:
            UsageError: there is no template, or it loses texts or pictures.
        """

        @lru_cache(KEPT_PROMPTS)  # Each takes a new process, which may take longer than the description of an image.
        def prompt(conversation: str) -> str:
            return str(bounded(lambda: processor.apply_chat_template(json.loads(conversation), **TEXT)))

        self._prompt = prompt
        if not getattr(processor, "chat_template", None):
            processor.chat_template = getattr(tokenizer, "chat_template", None)
        template = processor.chat_template
        if not template:
            raise UsageError("it has no chat template, so it is not a chat model; choose an instruction-tuned model")
        self._control = control_tokens(tokenizer, processor, str(template))
        self._neutral = Neutral(self._control)
        self._form, self.placeholder, self.interleaved = self._probe(images)

    @property
    def system_role(self) -> bool:
        """See the class."""
        return self._form.system is not None

    def render(self, messages: Sequence[PackedMessage]) -> str:
        """Returns the prompt, up to where the reply begins.

        Raises:
            UsageError: the template refuses the conversation, or writes more or fewer placeholders than pictures.
        """
        prompt = self._rendered(messages, self._form, self.interleaved)
        pictures = sum(isinstance(part, Picture) for message in messages for part in message.parts)
        if pictures and (written := prompt.count(self.placeholder)) != pictures:
            raise UsageError(f"its chat template wrote {written} placeholders for {pictures} pictures")
        return prompt

    def _rendered(self, messages: Sequence[PackedMessage], form: Form, interleaved: bool) -> str:
        conversation = [
            {"role": message.role, "content": self._content(message, getattr(form, message.role), interleaved)}
            for message in (messages if form.system else without_system(messages))
        ]
        try:
            return self._prompt(json.dumps(conversation))
        except Exception as error:  # Templates raise whatever Jinja does.
            raise UsageError(f"its chat template refuses the conversation: {one_line(error)}") from error

    def _content(self, message: PackedMessage, form: Content, interleaved: bool) -> Any:
        parts: list[dict[str, str]] = []
        for is_text, run in itertools.groupby(
            _marked(message.parts, interleaved), key=lambda part: isinstance(part, str)
        ):
            if is_text:
                # One text: templates put nothing between two.
                parts.append({"type": "text", "text": self._neutral("\n".join(map(str, run)))})
            else:
                parts += [{"type": "image"} for _ in run]
        if form == "text":
            return "".join(part.get("text", "") for part in parts)
        return parts or [{"type": "text", "text": ""}]

    def _probe(self, images: bool) -> tuple[Form, str, bool]:
        user: Content = "parts" if images else "text"
        forms = [
            Form(system, kind, assistant)
            for kind in dict.fromkeys((user, "parts"))
            for system in (kind, "text", "parts", None)
            for assistant in dict.fromkeys((kind, "text"))
        ]
        cause = ""
        for form in dict.fromkeys(forms):
            try:
                without = self._rendered(_probe_conversation(False), form, True)
                prompt = self._rendered(_probe_conversation(images), form, True)
            except UsageError as error:
                cause = cause or str(error)
                if isinstance(error.__cause__, TimeoutError):
                    break  # As would the others: 16 times the limit.
                continue
            if not _in_order(without) or not _in_order(prompt):
                cause = cause or "its chat template leaves out or reorders texts of a conversation"
                continue
            if not images:
                return form, "", True
            written = [token for token in self._control if token in prompt and token not in without]
            if written:
                place = prompt.index(written[0])
                return form, written[0], prompt.index(PROBE[1]) < place < prompt.index(PROBE[2])
            cause = cause or "its chat template writes no placeholder for a picture"
        raise UsageError(cause)


def _marked(parts: Sequence[str | Picture], interleaved: bool) -> Iterator[str | Picture]:
    """Yields a message's parts; where pictures do not stay in place, they come first and marks stand for them."""
    if interleaved:
        yield from parts
        return
    yield from (part for part in parts if isinstance(part, Picture))
    numbers = itertools.count(1)
    for part in parts:
        yield part if isinstance(part, str) else f"[picture {next(numbers)} of this message]"


def _probe_conversation(picture: bool) -> list[PackedMessage]:
    system, before, between, reply, after = PROBE
    shown = (before, ANY_PICTURE, between) if picture else (before, between)
    return [
        PackedMessage("system", (system,)),
        PackedMessage("user", shown),
        PackedMessage("assistant", (reply,)),
        PackedMessage("user", (after,)),
    ]


def _in_order(prompt: str) -> bool:
    places = [prompt.find(text) for text in PROBE]
    return places == sorted(places) and all(prompt.count(text) == 1 for text in PROBE)
