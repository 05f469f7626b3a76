"""Chat templates of models: a template is a program from elsewhere, which Jinja's sandbox runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from maia_vlm.packing import PackedMessage

MAX_SECONDS = 5.0
"""Longest time that a template may take; Jinja's sandbox bounds neither time nor nested loops."""


@contextmanager
def time_limit(seconds: float | None = None) -> Iterator[None]:
    """Stops Python code of the block, such as a template, after a time.

    Raises:
        TimeoutError: the time is over.
    """
    seconds = MAX_SECONDS if seconds is None else seconds
    deadline, before = time.monotonic() + seconds, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if time.monotonic() > deadline:
            raise TimeoutError(f"it takes longer than {seconds:g} s")
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def without_system(messages: Sequence[PackedMessage]) -> list[PackedMessage]:
    """Returns a conversation for a model without a system role: the first user message begins with the system text."""
    system = tuple(part for message in messages if message.role == "system" for part in message.parts)
    rest = [message for message in messages if message.role != "system"]
    if not system:
        return rest
    if rest and rest[0].role == "user":
        return [PackedMessage("user", system + rest[0].parts), *rest[1:]]
    return [PackedMessage("user", system), *rest]
