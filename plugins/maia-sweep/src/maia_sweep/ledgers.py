"""What all sessions of a sweep share in one small file: what they have used, and when the next call may be made."""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field

from maia_core.plugin import Data, RecordError, Usage, open_plain

LEDGER = "ledger.json"
"""File of the ledger in the folder of a sweep."""

SIZE = 512
"""Bytes of the file: it is overwritten in place, so that a full disk does not stop it."""

SLOWER, FASTER = 2.0, 0.9
"""Factors of the pause between two calls after a refusal, and after a success."""
FIRST_PAUSE, MAX_PAUSE, MIN_PAUSE = 0.5, 60.0, 0.05
"""Pause after the first refusal, the longest one, and the one below which there is none, in seconds."""

MAX_WAIT = 3600.0
"""Longest time in seconds that sessions wait for a service; one that asks for more ends the sweep."""

MAX_REFUSAL = 30 * 24 * 3600.0
"""Longest time in seconds for which a refusal is stored."""

BOOKED = "booked.json"
"""File in a run folder: what the ledger holds of this run."""


class State(Data):
    """What the file holds.

    Attributes:
        cost: US dollars that all sessions have used.
        tokens: Tokens that they have used.
        pause: Seconds between two calls, beyond what the limit asks for.
        next: Time at which the next call may be made, in seconds since 1970; at most one pause from now.
        blocked: Time until which the service refused all calls.
    """

    cost: float = 0.0
    tokens: int = 0
    pause: float = 0.0
    next: float = 0.0
    blocked: float = 0.0


class Booked(Data):
    """What the ledger holds of one run.

    Attributes:
        cost: US dollars.
        tokens: Tokens.
    """

    cost: float = 0.0
    tokens: int = 0


class SweepLimits(Data):
    """What a whole sweep may use.

    Attributes:
        cost: US dollars.
        tokens: Tokens that backbone and engines read and write.
        calls_per_minute: Calls of the backbone per minute, of all sessions together.
    """

    cost: float | None = Field(None, gt=0)
    tokens: int | None = Field(None, gt=0)
    calls_per_minute: float | None = Field(None, gt=0)


class Ledger:
    """Counts what all sessions of a sweep use, and lets them take turns; for threads, processes and machines.

    Attributes:
        limits: What the sweep may use.
    """

    def __init__(self, folder: Path, limits: SweepLimits) -> None:
        self._path = folder / LEDGER
        self.limits = limits

    @property
    def state(self) -> State:
        """What has been used; reads the file without waiting for its lock."""
        with suppress(OSError, ValueError):
            return State.model_validate_json(_read(self._path))
        return State()

    def begin(self) -> str:
        """Prepares the file for a command; returns what the user should know, empty if nothing.

        A service that refused all calls for longer than `MAX_WAIT` is asked once more.

        Raises:
            RecordError: the file cannot be written.
        """
        with suppress(OSError, ValueError):
            State.model_validate_json(_read(self._path))
            with self._changing() as state:
                if state["blocked"] - time.time() > MAX_WAIT:
                    state["blocked"] = 0.0
            return ""
        if not self._path.exists():
            return ""
        return f"{self._path} cannot be read: the money and the tokens of the sweep are counted from 0 again"

    def book(self, run: Path, usage: Usage) -> None:
        """Counts what a run has used since it began; what an earlier call has counted of the run is not repeated.

        Args:
            run: The run folder, which one process writes at a time.
            usage: All that the run has used, also before it was resumed.

        Raises:
            RecordError: a file cannot be written.
        """
        path = run / BOOKED
        before = Booked()
        with suppress(OSError, ValueError):
            before = Booked.model_validate_json(_read(path))
        now = Booked(cost=max(usage.cost, before.cost), tokens=max(usage.tokens, before.tokens))
        if now == before:
            return
        with self._changing() as state:
            state |= {
                "cost": state["cost"] + now.cost - before.cost,
                "tokens": state["tokens"] + now.tokens - before.tokens,
            }
            with open_plain(path, "r+b") as file:
                os.pwrite(file.fileno(), now.model_dump_json().encode().ljust(SIZE // 4 - 1) + b"\n", 0)

    def spend(self, usage: Usage) -> None:
        """Adds what the explainer of the first stage has used.

        Raises:
            RecordError: the file cannot be written.
        """
        if usage.cost or usage.tokens:
            with self._changing() as state:
                state |= {"cost": state["cost"] + usage.cost, "tokens": state["tokens"] + usage.tokens}

    def used_up(self) -> str:
        """Returns which limit is used up, or that the service refuses calls for long; empty if the sweep may go on."""
        limits, state = self.limits, self.state
        if (blocked := state.blocked - time.time()) > MAX_WAIT:
            return f"the service refuses calls for {blocked / 3600:,.1f} hours (Retry-After)"
        if limits.cost is not None and state.cost >= limits.cost:
            return f"the sweep has used ${state.cost:,.2f} of ${limits.cost:,.2f} (--max-cost)"
        if limits.tokens is not None and state.tokens >= limits.tokens:
            return f"the sweep has used {state.tokens:,} of {limits.tokens:,} tokens (--max-tokens)"
        return ""

    def slot(self) -> float:
        """Takes the next call and returns 0; where it may not be made yet, returns in how many seconds to ask again.

        Nobody reserves a call before its time, so that one who is interrupted, or whose clock is wrong, leaves no gap.
        """
        rate = self.limits.calls_per_minute
        state = self.state
        now = time.time()
        if rate is None and not state.pause and state.blocked <= now:
            return 0.0
        with self._changing() as changed:
            pause = max(60.0 / rate if rate else 0.0, changed["pause"])
            start = max(min(changed["next"], now + pause), changed["blocked"])
            if start <= now:
                changed["next"] = now + pause
        return max(0.0, start - now)

    def refused(self, retry_after: float | None) -> None:
        """Slows all sessions down after a service has refused a call.

        Args:
            retry_after: Seconds to wait that the service named; None, or not a finite number: it named none.
        """
        now = time.time()
        seconds = retry_after if retry_after is not None and math.isfinite(retry_after) else None
        with self._changing() as state:
            if state["blocked"] <= now:  # Else the refusal is of a call that was made before the last one.
                state["pause"] = min(MAX_PAUSE, max(FIRST_PAUSE, state["pause"] * SLOWER))
            state["blocked"] = max(
                state["blocked"], now + (state["pause"] if seconds is None else min(seconds, MAX_REFUSAL))
            )

    def accepted(self) -> None:
        """Speeds all sessions up a little after a call that the service took."""
        if self.state.pause:
            with self._changing() as state:
                pause = state["pause"] * FASTER
                state["pause"] = pause if pause >= MIN_PAUSE else 0.0

    @contextmanager
    def _changing(self) -> Iterator[dict[str, float]]:
        """Yields the state; what is changed in it is written, and no other session sees it in between."""
        try:
            with open_plain(self._path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                try:
                    state = State.model_validate_json(os.pread(file.fileno(), SIZE, 0))
                except ValueError:  # A new file.
                    state = State()
                changed = state.model_dump()
                yield changed
                os.pwrite(file.fileno(), json.dumps(changed).encode().ljust(SIZE - 1) + b"\n", 0)
        except OSError as error:
            raise RecordError(f"cannot write {self._path}: {error.strerror}; make room, then resume") from error


def _read(path: Path) -> bytes:
    with open_plain(path) as file:
        return file.read(SIZE)
