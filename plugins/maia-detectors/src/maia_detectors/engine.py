"""The two models of a detector, and the batches that go through them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import transformers

from maia_core.plugin import Mask, Pixels, RunError
from maia_detectors.boxes import Boxes, Thresholds, find
from maia_detectors.masks import Corners, filled, segment
from maia_detectors.options import DetectorOptions
from maia_detectors.weights import Key, Weights, load
from maia_hub.batches import Batches
from maia_hub.device import choose_device, free_memory
from maia_hub.quiet import quiet


class Engine:
    """Loaded models, on their device."""

    def __init__(self, config: DetectorOptions, folder: Path, segmenter: Path | None) -> None:
        """Loads the models, unless another detector has loaded them.

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
        self._finding = Batches(config.batch, self._device, too_large=partial(_too_large, self._device))
        self._segmenting = Batches(config.batch, self._device, too_large=partial(_too_large, self._device))

    def boxes(self, images: Sequence[Pixels], text: str) -> list[Boxes]:
        """Finds what a text names in each image.

        Only images of one size share a batch: padding would make the boxes of an image depend on the other images.
        """
        assert self._finder is not None
        work = partial(find, self._finder, text=text, thresholds=self._thresholds)
        with quiet():
            return self._finding.map(work, images, group=lambda pixels: pixels.shape)

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
        """Frees the weights, unless another detector uses them."""
        self._finder = self._segmenter = None
        free_memory(self._device)


def _too_large(device: torch.device) -> RunError:
    return RunError(
        f"one image does not fit into the memory of {device}: use a smaller model, half precision (dtype=bfloat16), "
        "smaller images or device=cpu"
    )
