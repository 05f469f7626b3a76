"""Tries passing failures again, for engines: the run's loop does so for backbones alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from maia_core.plugin import BackboneBusy, RunError, one_line

T = TypeVar("T")

LONGEST_PAUSE = 60.0
"""Seconds between two attempts where the server does not ask for more."""


def retrying(
    call: Callable[[], T],
    *,
    retries: int = 6,
    seconds: float = 300.0,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Returns what `call` returns; after a passing failure it is called again, with back-off and jitter.

    Args:
        call: Raises `BackboneBusy` for a passing failure; whatever else it raises is passed on.
        retries: How often it is called again.
        seconds: Longest time that is waited together.
        sleep: Waits; for tests.

    Raises:
        RunError: it failed each time; names the last cause.
    """
    waited = 0.0
    for attempt in range(retries + 1):
        try:
            return call()
        except BackboneBusy as error:
            # Jitter, so that parallel calls do not come back together.
            pause = min(LONGEST_PAUSE, 2.0**attempt) * random.uniform(0.5, 1.0)
            if error.retry_after is not None:
                pause = max(0.0, error.retry_after)
            if attempt == retries or waited + pause > seconds:
                raise RunError(f"failed {attempt + 1} times, the last time with: {one_line(error)}") from error
        waited += pause
        sleep(pause)
    raise AssertionError("unreachable")
