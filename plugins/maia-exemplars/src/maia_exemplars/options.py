"""How an index is built, and how a build tells what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from maia_exemplars.info import DEFAULT_K
from maia_exemplars.prefetch import BATCH
from maia_exemplars.reading import WORKERS

FAST = "bfloat16"
"""The faster precision, as options and indexes call it."""

Precision = Literal["auto", "exact", "bfloat16"]

Progress = Callable[[str, int, int], None]
"""Takes the name of a step, how many of its images are done, and how many there are."""


@dataclass(frozen=True)
class Options:
    """How an index is built.

    Attributes:
        k: Exemplars per unit.
        span: Which images of the data set, the first and the one after the last; None: all.
        precision: `exact`: all images run in the network's own floating point type. `bfloat16`: that ranks them, and
            the finalists are measured in the network's own. `auto`: whichever is expected to be faster. The
            exemplars are the same.
        batch: Images per forward pass.
        workers: Threads that read images.
        resume: Whether to resume an unfinished build in the folder; otherwise it is refused.
        unattended: Nobody can decide: the build resumes an unfinished one, restarts a broken one, and waits for
            another process that builds in the same folder.
    """

    k: int = DEFAULT_K
    span: tuple[int, int] | None = None
    precision: Precision = "auto"
    batch: int = BATCH
    workers: int = WORKERS
    resume: bool = False
    unattended: bool = False


def quiet(*report: object) -> None:
    """Does nothing."""
