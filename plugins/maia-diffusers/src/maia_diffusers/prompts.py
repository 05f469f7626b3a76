"""Which words of a prompt no text encoder reads: pipelines cut what is too long without telling."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from maia_diffusers.roles import call_arguments

UNLIMITED = 100_000
"""A tokenizer's `model_max_length` from which on it has none."""

MAX_CHARACTERS = 200
"""Characters of the words that a warning names."""


def cut(pipe: Any, prompt: str, longest: int | None = None) -> str:
    """Returns what a person must know of a prompt that is too long; an empty string if all of it is read.

    Where a pipeline has several text encoders, the one that reads most counts.

    Args:
        pipe: The pipeline.
        prompt: The prompt.
        longest: The argument `max_sequence_length` of the call, if it is given.
    """
    readers = _readers(pipe, longest)
    if not readers:
        return ""
    words = prompt.split()
    # An encoder that reads all is known without counting words.
    if any(count(prompt) <= limit for count, limit in readers):
        return ""
    read, limit = max(((_fitting(words, count, limit), limit) for count, limit in readers), key=lambda one: one[0])
    lost = " ".join(words[read:])
    shown = lost if len(lost) <= MAX_CHARACTERS else lost[: MAX_CHARACTERS - 1] + "…"
    return f"the prompt is too long: the model reads {limit} tokens of it and does not know '{shown}'"


Count = Callable[[str], int]


def _readers(pipe: Any, longest: int | None) -> list[tuple[Count, int]]:
    """Returns for each text encoder how it counts tokens, special ones included, and how many it reads."""
    found = []
    for number in ("", "_2", "_3", "_4"):
        tokenizer = getattr(pipe, f"tokenizer{number}", None)
        if tokenizer is None or getattr(pipe, f"text_encoder{number}", None) is None:
            continue
        limits = [limit for limit in [getattr(tokenizer, "model_max_length", None)] if limit and limit < UNLIMITED]
        if not type(tokenizer).__name__.startswith("CLIP"):
            limits += [limit for limit in [longest or _default(pipe)] if limit]
        if limits:
            found.append((_count(tokenizer), min(limits)))
    return found


def _count(tokenizer: Any) -> Count:
    return lambda text: len(tokenizer(text, truncation=False, verbose=False).input_ids)


def _default(pipe: Any) -> int | None:
    if "max_sequence_length" not in call_arguments(type(pipe)):
        return None
    default = inspect.signature(type(pipe).__call__).parameters["max_sequence_length"].default
    return default if isinstance(default, int) else None


def _fitting(words: list[str], count: Count, limit: int) -> int:
    """Returns how many of the first words are read whole, by bisection."""
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if count(" ".join(words[:middle])) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
