"""Puts a packed conversation into LiteLLM's one format, as each provider needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maia_vlm import PackedMessage, Picture, without_system

EMPTY = "(no text)"
"""What stands for a message without text: several providers refuse an empty one."""

CACHED_TAIL = 2
"""How many of the newest user messages end a prefix that Anthropic is asked to keep: the last one is read at the next
turn, the one before was written at the turn before."""

Wire = list[dict[str, Any]]


def messages(
    packed: Sequence[PackedMessage],
    *,
    system_role: bool = True,
    detail: str | None = None,
    breakpoints: bool = False,
    ordered: bool = True,
) -> Wire:
    """Returns the messages for `litellm.completion`; the same beginning gives the same bytes at every turn.

    Args:
        packed: A conversation whose images are within limits.
        system_role: False: the system text goes before the first user text.
        detail: How closely images are to be looked at.
        breakpoints: Mark what Anthropic is to cache: the system message, the task, and the newest user messages.
        ordered: Whether the provider keeps the order of texts and pictures; where not, a text says where each one is.
    """
    if not system_role:
        packed = without_system(packed)
    marked = _marked(packed) if breakpoints else set()
    wire: Wire = []
    for place, message in enumerate(packed):
        content = _content(message, detail, ordered)
        if place in marked:
            content = _with_mark(content)
        wire.append({"role": message.role, "content": content})
    return wire


def _content(message: PackedMessage, detail: str | None, ordered: bool) -> str | list[dict[str, Any]]:
    parts = [part for part in message.parts if not isinstance(part, str) or part.strip()]
    pictures = [part for part in parts if isinstance(part, Picture)]
    if not pictures:
        return "\n".join(part for part in parts if isinstance(part, str)) or EMPTY
    if not ordered:
        numbers = iter(range(1, len(pictures) + 1))
        lines = [part if isinstance(part, str) else f"[image {next(numbers)} of this message]" for part in parts]
        return [{"type": "text", "text": "\n".join(lines)}, *(_picture(picture, detail) for picture in pictures)]
    return [{"type": "text", "text": part} if isinstance(part, str) else _picture(part, detail) for part in parts]


def _picture(picture: Picture, detail: str | None) -> dict[str, Any]:
    url = {"url": picture.data_uri}
    return {"type": "image_url", "image_url": {**url, "detail": detail} if detail else url}


def _with_mark(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [*blocks[:-1], {**blocks[-1], "cache_control": {"type": "ephemeral"}}]


def _marked(packed: Sequence[PackedMessage]) -> set[int]:
    """Returns the places of the messages that end a cached prefix: at most four, as Anthropic allows."""
    users = [place for place, message in enumerate(packed) if message.role == "user"]
    systems = [place for place, message in enumerate(packed) if message.role == "system"]
    return {*systems[:1], *users[:1], *users[-CACHED_TAIL:]}
