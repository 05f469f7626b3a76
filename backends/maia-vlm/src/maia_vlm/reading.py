"""Lets a model that sees no images take part: descriptions stand in the place of images, and say so."""

from __future__ import annotations

from collections.abc import Sequence

from maia_core.plugin import Describer, ImagePart, Message


def with_descriptions(messages: Sequence[Message], describer: Describer) -> list[Message]:
    """Replaces the images of a conversation by what `describer` says of them; it is handed anonymous copies."""
    images = [image for message in messages for image in message.images]
    unique = {image.id: image.anonymous() for image in images}
    said = dict(zip(unique, describer.describe(list(unique.values())), strict=True)) if unique else {}
    return [
        Message.of(
            message.role,
            *(
                f"[an image; you cannot see it, a describer says: {said[part.image.id]}]"
                if isinstance(part, ImagePart)
                else part
                for part in message.parts
            ),
        )
        for message in messages
    ]
