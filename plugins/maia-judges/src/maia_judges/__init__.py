"""Judges: what evaluation and verification ask about labels."""

from __future__ import annotations

from maia_core.plugin import Judge
from maia_labels import NOTHING, Parts, joined, parts_of, says_nothing

__all__ = ["NOTHING", "Parts", "joined", "neutral_prompts", "parts_of", "says_nothing"]


def neutral_prompts(judge: Judge, label: str, n: int) -> list[str]:
    """Returns `n` different prompts of images that show nothing of a label, as far as the judge can tell.

    Where a judge does not have `write_neutral`, they are prompts of anything, from the half that it ranks lowest.
    """
    write = getattr(judge, "write_neutral", None)
    if write is not None:
        return list(write(label, n))
    prompts = judge.write_prompts(NOTHING, 2 * n)
    return [prompts[i] for i in sorted(judge.select(label, prompts)[n:])]
