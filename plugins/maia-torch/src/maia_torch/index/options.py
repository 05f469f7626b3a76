"""How an index is built, and how a build tells what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from maia_torch.index.layer import EXEMPLARS
from maia_torch.index.reading import WORKERS
from maia_torch.prefetch import BATCH

Precision = Literal["auto", "exact", "bfloat16"]

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many images of it are done with, and of how many."""


@dataclass(frozen=True)
class Options:
    """How an index is built.

    Attributes:
        k: Exemplars of each unit.
        span: Which places of the data set, the first and the one after the last; None: all.
        precision: `exact`: all images run in the network's own floating point type. `bfloat16`: that ranks them, and
            the finalists are measured in the network's own. `auto`: whichever is expected to be done sooner. The
            exemplars are the same.
        batch: Images of one forward pass.
        workers: Threads that read images.
        resume: Whether an unfinished build in the folder is gone on with; else it is refused.
        unattended: Nobody is there to decide: an unfinished build is gone on with, a broken one is begun anew, and
            another process that builds in the same folder is waited for.
    """

    k: int = EXEMPLARS
    span: tuple[int, int] | None = None
    precision: Precision = "auto"
    batch: int = BATCH
    workers: int = WORKERS
    resume: bool = False
    unattended: bool = False


def quiet(*told: object) -> None:
    """Tells nobody."""
