"""Devices, and what to do when their memory does not suffice."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from maia_core.plugin import RunError, UsageError, one_line

T = TypeVar("T")
R = TypeVar("R")

ACCELERATORS = ("cuda", "xpu", "mps")
"""In the order in which `auto` takes them."""

SAID_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What errors say that have no class of their own: those of the processor and of MPS."""


def choose_device(wanted: str) -> torch.device:
    """Returns the device that `wanted` names; `auto`: an accelerator if there is one, else the processor.

    Raises:
        UsageError: there is no such device here.
    """
    here = [name for name in ACCELERATORS if getattr(torch, name).is_available()] + ["cpu"]
    try:
        # The tensor's device has its number, where the name has none.
        return torch.zeros(1, device=here[0] if wanted == "auto" else wanted).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cause = one_line(error).split(". ")[0][:120]
        raise UsageError(f"device '{wanted}' cannot be used ({cause}); here: auto, {', '.join(here)}") from error


def free(device: torch.device) -> None:
    """Hands memory that nobody uses any more back to the device."""
    gc.collect()
    if device.type in ACCELERATORS:
        getattr(torch, device.type).empty_cache()


def no_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory does not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in SAID_OF_MEMORY)


class Batches:
    """Carries out work in batches that fit into memory; what did not fit once is not tried again.

    Attributes:
        size: Most items in one batch.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.size = size
        self._device = device

    def map(self, work: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """Returns the results of `work` on batches of the items, in order.

        Raises:
            RunError: memory does not suffice for one item.
        """
        results: list[R] = []
        while len(results) < len(items):
            batch = items[len(results) : len(results) + self.size]
            done = self._tried(work, batch)
            if done is not None:
                results += done
                continue
            # Out of the handler, so that nothing holds the tensors of the pass that failed.
            free(self._device)
            if len(batch) == 1:
                raise RunError(
                    f"the memory of {self._device} does not suffice for one image: use a smaller model, half precision "
                    "(dtype=bfloat16), smaller images or device=cpu"
                )
            self.size = len(batch) // 2
        return results

    @staticmethod
    def _tried(work: Callable[[Sequence[T]], Sequence[R]], batch: Sequence[T]) -> Sequence[R] | None:
        try:
            return work(batch)
        except Exception as error:
            if no_memory(error):
                return None
            raise
