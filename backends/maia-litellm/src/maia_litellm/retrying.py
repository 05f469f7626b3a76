"""Retries temporary failures of engines; the loop of a run retries those of backbones only."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from maia_core.plugin import BackboneBusy, RunError, one_line

T = TypeVar("T")

MAX_PAUSE_SECONDS = 60.0
"""Maximum pause between two attempts, unless the server asks for a longer one."""


def retrying(
    call: Callable[[], T],
    *,
    retries: int = 6,
    seconds: float = 300.0,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Returns the result of `call`; retries it after a temporary failure, with back-off and jitter.

    Args:
        call: Raises `BackboneBusy` for a temporary failure; its other errors pass through.
        retries: Maximum number of retries.
        seconds: Maximum sum of the pauses.
        sleep: Waits; for tests.

    Raises:
        RunError: it failed each time; names the last cause.
    """
    waited = 0.0
    for attempt in range(retries + 1):
        try:
            return call()
        except BackboneBusy as error:
            # Jitter spreads the retries of parallel calls.
            pause = min(MAX_PAUSE_SECONDS, 2.0**attempt) * random.uniform(0.5, 1.0)
            if error.retry_after is not None:
                pause = max(0.0, error.retry_after)
            if attempt == retries or waited + pause > seconds:
                raise RunError(f"failed {attempt + 1} times, the last time with: {one_line(error)}") from error
        waited += pause
        sleep(pause)
    raise AssertionError("unreachable")
