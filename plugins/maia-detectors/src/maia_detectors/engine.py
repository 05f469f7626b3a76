"""The two models of a detector, and the batches that go through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
import transformers

from maia_core.plugin import Mask, Pixels
from maia_detectors.boxes import Boxes, Thresholds, find
from maia_detectors.masks import Corners, filled, segment
from maia_detectors.memory import Batches, choose_device, free
from maia_detectors.weights import Key, Weights, load, quiet

if TYPE_CHECKING:
    from maia_detectors.detector import TransformersDetector

T = TypeVar("T")
R = TypeVar("R")


class Engine:
    """Loaded models, on their device."""

    def __init__(self, config: TransformersDetector.Config, folder: Path, segmenter: Path | None) -> None:
        """Loads what no other detector has loaded yet.

        Raises:
            UsageError: there is no such device, or a folder cannot be loaded.
            RunError: memory does not suffice.
        """
        self._device = choose_device(config.device)
        dtype: torch.dtype = getattr(torch, config.dtype)
        self._finder: Weights | None = load(
            config.model,
            Key(folder, self._device, dtype),
            transformers.AutoModelForZeroShotObjectDetection,
        )
        self._segmenter: Weights | None = None
        if segmenter is not None:
            self._segmenter = load(
                config.segmenter, Key(segmenter, self._device, dtype), transformers.AutoModelForMaskGeneration
            )
        self._thresholds = Thresholds(config.box_threshold, config.text_threshold, config.most)
        self._finding = Batches(config.batch, self._device)
        self._segmenting = Batches(config.batch, self._device)

    def boxes(self, images: Sequence[Pixels], text: str) -> list[Boxes]:
        """Finds what a text names in each image.

        Images of one size go through together: in a batch of several sizes the smaller ones would be padded, and what
        is found in an image would depend on the others.
        """
        assert self._finder is not None
        work = partial(find, self._finder, text=text, thresholds=self._thresholds)
        with quiet():
            return _grouped(images, [pixels.shape for pixels in images], partial(self._finding.map, work))

    def masks(self, images: Sequence[Pixels], boxes: Sequence[Corners]) -> list[list[Mask]]:
        """Makes a mask of each box of each image."""
        if self._segmenter is None:
            return [[filled(box, pixels.shape[:2]) for box in each] for pixels, each in zip(images, boxes, strict=True)]
        masks: list[list[Mask]] = [[] for _ in images]
        found = [n for n, each in enumerate(boxes) if len(each)]
        with quiet():
            made = self._segmenting.map(partial(segment, self._segmenter), [(images[n], boxes[n]) for n in found])
        for n, each in zip(found, made, strict=True):
            masks[n] = each
        return masks

    def close(self) -> None:
        """Lets go of the weights; the device gets its memory back where nobody else uses them."""
        self._finder = self._segmenter = None
        free(self._device)


def _grouped(items: Sequence[T], keys: Sequence[object], work: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """Applies `work` to the items of each key by themselves, and returns the results in the order of the items."""
    groups: dict[object, list[int]] = {}
    for n, key in enumerate(keys):
        groups.setdefault(key, []).append(n)
    results: dict[int, R] = {}
    for group in groups.values():
        results.update(zip(group, work([items[n] for n in group]), strict=True))
    return [results[n] for n in range(len(items))]
