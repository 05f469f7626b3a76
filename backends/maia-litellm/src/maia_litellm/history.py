"""Outcomes of the calls of an endpoint, which decide whether a failure may be temporary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maia_litellm.wire import Exchange


@dataclass
class History:
    """Outcomes of the calls of an endpoint so far.

    Attributes:
        answered: It has answered at least once, so its silence may be temporary.
        replied: It has sent a reply that could be read, so another kind of response may be temporary.
        seen: It has accepted images, or is known to accept them.
        broken: Failures with status 500 on requests with images; servers of text models fail like this.
    """

    answered: bool = False
    replied: bool = False
    seen: bool = False
    broken: int = 0

    def add(self, exchange: Exchange, ok: bool) -> None:
        """Counts the outcome of one more call."""
        self.answered = self.answered or exchange.status > 0
        self.replied = self.replied or ok
        self.seen = self.seen or (ok and exchange.images)
        self.broken += exchange.images and exchange.status == 500
