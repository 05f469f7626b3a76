"""Work in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, TypeVar

from maia_hub.device import free_memory, is_out_of_memory

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R")


class Batches:
    """Runs work in batches, and halves the batch size each time that memory runs out.

    Attributes:
        size: Items per batch. It stays at the largest size that fitted.
    """

    def __init__(
        self,
        size: int,
        device: torch.device,
        *,
        too_large: Callable[[], Exception],
        warn: Callable[[str], None] = lambda line: None,
        relieve: Callable[[], bool] = lambda: False,
    ) -> None:
        """Runs nothing yet.

        Args:
            size: Items per batch at the beginning.
            device: The device whose memory is freed after a failure.
            too_large: Makes the error for a single item that does not fit.
            warn: Takes a line when the batch size is halved.
            relieve: Frees memory of others, once per call of `map`; returns whether it freed any.
        """
        self.size = size
        self._device = device
        self._too_large = too_large
        self._warn = warn
        self._relieve = relieve

    def map(
        self,
        work: Callable[[Sequence[T]], Sequence[R]],
        items: Sequence[T],
        *,
        group: Callable[[T], Hashable] = lambda item: None,
        limit: int | None = None,
    ) -> list[R]:
        """Returns the results of `work` on batches of the items, in the order of the items.

        Args:
            work: Takes one batch and returns one result per item.
            items: The items, in an order that suits batches.
            group: Only items of an equal group share a batch.
            limit: Largest batch of this call.

        Raises:
            Exception: that of `too_large` if memory does not suffice for one item, and any other error of `work`.
        """
        results: dict[int, R] = {}
        groups: dict[Hashable, list[int]] = {}
        for index, item in enumerate(items):
            groups.setdefault(group(item), []).append(index)
        relieved = False
        for waiting in groups.values():
            while waiting:
                batch = waiting[: min(self.size, limit or self.size)]
                done = _attempt(work, [items[index] for index in batch])
                if done is not None:
                    results.update(zip(batch, done, strict=True))
                    del waiting[: len(batch)]
                    continue
                # The error is gone here, and with it the tensors in its traceback.
                if not relieved and self._relieve():
                    relieved = True
                elif len(batch) == 1:
                    free_memory(self._device)
                    raise self._too_large()
                else:
                    self.size = len(batch) // 2
                    self._warn(
                        f"memory does not suffice for a batch of {len(batch)}; the batch size is now {self.size}"
                    )
                free_memory(self._device)
        return [results[index] for index in range(len(items))]


def _attempt(work: Callable[[Sequence[T]], Sequence[R]], batch: Sequence[T]) -> Sequence[R] | None:
    """Returns the results of one batch, or None if memory does not suffice."""
    try:
        return work(batch)
    except Exception as error:
        if is_out_of_memory(error):
            return None
        raise
