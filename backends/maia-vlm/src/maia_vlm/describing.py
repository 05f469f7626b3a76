"""A describer made of anything that answers conversations: each image in a fresh one, blind to the hypotheses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from maia_core.plugin import ContextTooLong, Image, Message, Reply, content_id

Ask = Callable[[Sequence[Sequence[Message]]], Sequence[Reply]]
"""Answers several conversations, in their order: a backend batches them or asks in parallel."""

WHOLE = "Say in one short sentence what this image shows: the things, their parts, colours, textures and surroundings."
MASKED = (
    "A part of this image is bright, the rest is darkened. Say in one short sentence what the bright part shows: the "
    "thing or the part of a thing, its colour and texture. Do not describe the dark part, do not mention the darkening."
)
COMMON = (
    "What do these {count} images have in common? Where a part of an image is darkened, only the bright part counts. "
    "Name in one or two short sentences what most of them share, the most specific first; if there are several groups, "
    "name each."
)
DESCRIBED = (
    "These are descriptions of {count} images, one a line. What do the images have in common? Name in one or two short "
    "sentences what most of them share, the most specific first; if there are several groups, name each.\n{lines}"
)
NOTHING = "nothing that could be described"
"""What stands for an empty or refused answer; it is not remembered, as the next answer may be another."""
VERSION = "2"
"""Raised whenever the same image would be shown or asked about in another way."""
MAX_CHARACTERS = 500
"""Characters of one description; models that cannot stop are cut."""


class ChatDescriber:
    """Describes images by asking a vision-language model, one fresh conversation an image.

    What it has described it remembers by content, so that the same image is described alike and paid for once.

    Attributes:
        fingerprint: Changes with the model that is asked and with the questions.
        refusal: The text that stands for a refusal; maia-cache does not keep it.
    """

    refusal = NOTHING

    def __init__(self, ask: Ask, model: str, max_images: int | None = None) -> None:
        """Makes a describer.

        Args:
            ask: Answers conversations; it may refuse none of them by raising, see `Reply.stop`.
            model: What identifies the model and its settings.
            max_images: Most images that one conversation may hold; a summary of more, or of more than fit the model's
                window, is made of their descriptions.
        """
        self._ask = ask
        self._max_images = max_images
        self._known: dict[str, str] = {}
        self.fingerprint = content_id(*(part.encode() for part in (VERSION, model, WHOLE, MASKED, COMMON, DESCRIBED)))

    def describe(self, images: Sequence[Image]) -> list[str]:
        """See `maia_core.protocols.Describer`."""
        unknown = {image.id: image for image in images if image.id not in self._known}
        questions = [
            Message.of("user", image.anonymous(), MASKED if _darkened(image) else WHOLE) for image in unknown.values()
        ]
        replies = self._ask([[question] for question in questions]) if questions else []
        found = {name: _line(reply) for name, reply in zip(unknown, replies, strict=True)}
        self._known |= {name: line for name, line in found.items() if line != NOTHING}
        return [found.get(image.id) or self._known[image.id] for image in images]

    def summarize(self, images: Sequence[Image]) -> str:
        """See `maia_core.protocols.Describer`."""
        if not images:
            return NOTHING
        key = "+".join(image.id for image in images)
        if key not in self._known:
            if (line := _line(self._summary(images))) == NOTHING:
                return NOTHING
            self._known[key] = line
        return self._known[key]

    def _summary(self, images: Sequence[Image]) -> Reply:
        """Shows all images at once; where that is too much for the model, it reads their descriptions."""
        if self._max_images is None or len(images) <= self._max_images:
            shown = [image.anonymous() for image in images]
            with suppress(ContextTooLong):
                [reply] = self._ask([[Message.of("user", *shown, COMMON.format(count=len(images)))]])
                return reply
        lines = "\n".join(f"- {line}" for line in self.describe(images))
        [reply] = self._ask([[Message.of("user", DESCRIBED.format(count=len(images), lines=lines))]])
        return reply


def _darkened(image: Image) -> bool:
    """Tells whether a part of an image is darkened."""
    mask = image.mask()
    return mask is not None and bool(mask.any())


def _line(reply: Reply) -> str:
    text = " ".join(reply.text.split())
    if not text or reply.stop == "refusal":
        return NOTHING
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
