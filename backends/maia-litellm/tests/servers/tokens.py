"""Counts tokens roughly as the providers do, and simulates their caches of prompt prefixes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple


def of_text(text: str) -> int:
    """Returns about how many tokens a text has: four bytes one token."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


class Block(NamedTuple):
    """A piece of a prompt: its content in a canonical form, and its tokens; `mark` where a cache entry is asked for."""

    content: Any
    tokens: int
    mark: bool = False


class PrefixCache:
    """Remembers which prefixes of prompts a model has seen."""

    def __init__(self) -> None:
        self._seen: set[tuple[Hashable, str]] = set()
        self._lock = threading.Lock()

    def automatic(self, scope: Hashable, blocks: Sequence[Block], least: int, step: int) -> int:
        """Returns the cached tokens of a prompt, and remembers the prompt: the services that cache by themselves.

        Args:
            scope: Model and account.
            blocks: The prompt.
            least: Shorter prefixes are not cached.
            step: Cached tokens are a multiple of this.
        """
        keys = _prefixes(blocks)
        total = cached = 0
        with self._lock:
            for key, block in zip(keys, blocks, strict=True):
                total += block.tokens
                if (scope, key) in self._seen:
                    cached = total
            self._seen.update((scope, key) for key in keys)
        return cached // step * step if cached >= least else 0

    def explicit(self, scope: Hashable, blocks: Sequence[Block], least: int, lookback: int) -> tuple[int, int]:
        """Returns the tokens read from the cache and those written to it: entries are made at marked blocks only.

        Args:
            scope: Model and account.
            blocks: The prompt.
            least: Shorter prefixes are not cached.
            lookback: How many blocks before a mark an earlier entry is looked for.
        """
        keys = _prefixes(blocks)
        sums = [sum(block.tokens for block in blocks[: n + 1]) for n in range(len(blocks))]
        marks = [n for n, block in enumerate(blocks) if block.mark and sums[n] >= least]
        if not marks:
            return 0, 0
        read = 0
        with self._lock:
            for mark in marks:
                for n in range(mark, max(mark - lookback, -1), -1):
                    if (scope, keys[n]) in self._seen:
                        read = max(read, sums[n])
                        break
            self._seen.update((scope, keys[n]) for n in marks)
        return read, max(sums[marks[-1]] - read, 0)


def _prefixes(blocks: Sequence[Block]) -> list[str]:
    digest = hashlib.sha256()
    keys = []
    for block in blocks:
        digest.update(json.dumps(block.content, sort_keys=True).encode() + b"\0")
        keys.append(digest.hexdigest())
    return keys
