"""Masks for boxes: SAM and SAM 2, or the boxes themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.plugin import Mask, Pixels
from maia_detectors.weights import Weights

Corners = NDArray[np.float64]


def filled(box: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """Returns a box (left, top, right, bottom; to the nearest pixel) as a mask of an image of shape (height, width)."""
    left, top, right, bottom = np.rint(box).astype(int)
    mask = np.zeros(shape, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def segment(weights: Weights, batch: Sequence[tuple[Pixels, Corners]]) -> list[list[Mask]]:
    """Returns the masks of the boxes of each image of a batch.

    Returns:
        For each image a mask for each box, bool of shape (height, width). A mask ends where its box does; where the
        model sees nothing in a box the mask is the whole box.
    """
    processor, model = weights.processor, weights.model
    with weights.lock, torch.inference_mode():
        images = [PILImage.fromarray(pixels) for pixels, _ in batch]
        inputs: Any = processor(images=images, return_tensors="pt")
        encoded = model.get_image_embeddings(inputs["pixel_values"].to(weights.device, weights.dtype))
        return [_decoded(weights, encoded, n, *item) for n, item in enumerate(batch)]


def _decoded(weights: Weights, encoded: Any, n: int, pixels: Pixels, boxes: Corners) -> list[Mask]:
    """Decodes the masks of the boxes of one image, all in one pass."""
    processor = weights.processor
    # The processor scales boxes as it scales the image.
    inputs = processor(images=PILImage.fromarray(pixels), input_boxes=[boxes.tolist()], return_tensors="pt")
    own = [level[n : n + 1] for level in encoded] if isinstance(encoded, list | tuple) else encoded[n : n + 1]
    out = weights.model(
        image_embeddings=own,
        input_boxes=inputs["input_boxes"].to(weights.device, weights.dtype),
        multimask_output=False,
    )
    sizes = [inputs["original_sizes"]]
    if "reshaped_input_sizes" in inputs:  # SAM pads images to a square, SAM 2 stretches them.
        sizes.append(inputs["reshaped_input_sizes"])
    [masks] = processor.post_process_masks(out.pred_masks.float().cpu(), *sizes)
    found = []
    for box, mask in zip(boxes, masks[:, 0].numpy().astype(np.bool_), strict=True):
        region = filled(box, mask.shape)
        found.append(mask & region if (mask & region).any() else region)
    return found
