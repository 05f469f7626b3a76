"""What must be equal for two users to share a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Key(NamedTuple):
    """Of a pipeline in memory.

    Attributes:
        folder: Its checked folder, without links.
        variant: Its set of weights; empty: the plain one.
        device: Where it runs, in torch's words.
        dtype: The type of its numbers, in torch's words.
        scheduler: Another scheduler than its own; empty: its own.
        offload: `none`, `model` or `sequential`.
        slicing: Whether images are decoded one after the other.
        tiling: Whether images are decoded in tiles.
        safety: Whether it has its safety checker.
    """

    folder: Path
    variant: str
    device: str
    dtype: str
    scheduler: str
    offload: str
    slicing: bool
    tiling: bool
    safety: bool
