"""Boxes and scores for a text: Grounding DINO and OWL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.plugin import Pixels, UsageError
from maia_detectors.weights import Weights


class Boxes(NamedTuple):
    """Boxes of one image, the highest score first.

    Attributes:
        corners: float64 of shape (n, 4): left, top, right, bottom in pixels, within the image.
        scores: float64 of shape (n,), values in [0, 1].
    """

    corners: NDArray[np.float64]
    scores: NDArray[np.float64]


class Thresholds(NamedTuple):
    """Minimum score of a box, minimum score of its best word, and maximum number of boxes."""

    box: float
    text: float
    most: int


def find(weights: Weights, images: Sequence[Pixels], text: str, thresholds: Thresholds) -> list[Boxes]:
    """Returns the boxes of a text in each image of a batch of one size.

    Raises:
        UsageError: the text is longer than the model reads.
    """
    pictures = [PILImage.fromarray(pixels) for pixels in images]
    search = _owl if weights.type.startswith("owl") else _grounding_dino
    with weights.lock, torch.inference_mode():
        found = search(weights, pictures, text, thresholds)
    return [_within(*each, images[0].shape[:2], thresholds.most) for each in found]


def _grounding_dino(
    weights: Weights, pictures: Sequence[PILImage.Image], text: str, thresholds: Thresholds
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Returns corners (in pixels) and scores of every box that counts, for each image.

    A box's score is that of the token which it matches best (Liu et al. 2023); it counts if this reaches the box
    threshold. The text threshold of the reference chooses the words of a box's phrase and filters no boxes.
    """
    tokenizer = weights.processor.tokenizer
    # A full stop ends a phrase; one within would make two of it.
    words = tokenizer(f"{text.lower().replace('.', ' ').strip()} .", return_tensors="pt", return_token_type_ids=True)
    ids = words["input_ids"]
    _refuse_long(text, ids.shape[1], weights.model.config.max_text_len)
    signs = [*tokenizer.all_special_ids, tokenizer.convert_tokens_to_ids(".")]
    is_word = torch.isin(ids[0], torch.tensor(signs), invert=True).to(weights.device)
    if not is_word.any():
        raise UsageError(f"the detector has no token for '{text[:40]}'; use other words")
    prepared = weights.processor.image_processor(images=list(pictures), return_tensors="pt")
    prepared["pixel_values"] = prepared["pixel_values"].to(weights.dtype)
    many = {name: tensor.expand(len(pictures), -1) for name, tensor in words.items()}
    inputs = {name: tensor.to(weights.device) for name, tensor in {**prepared, **many}.items()}
    out = weights.model(**inputs)
    scores = out.logits.float().sigmoid()  # (images, boxes, tokens)
    best = scores.amax(-1)
    width, height = pictures[0].size
    x, y, w, h = out.pred_boxes.float().unbind(-1)
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1) * torch.tensor(
        [width, height, width, height], device=x.device
    )
    counts = best >= thresholds.box
    return [(corners[n][counts[n]], best[n][counts[n]]) for n in range(len(pictures))]


def _owl(
    weights: Weights, pictures: Sequence[PILImage.Image], text: str, thresholds: Thresholds
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The same for OWL-ViT and OWLv2, which were trained on captions like CLIP's."""
    processor = weights.processor
    prompt = f"a photo of a {text.lower()}"
    _refuse_long(
        text, len(processor.tokenizer(prompt)["input_ids"]), weights.model.config.text_config.max_position_embeddings
    )
    inputs: Any = processor(images=list(pictures), text=[[prompt]] * len(pictures), return_tensors="pt")
    inputs["pixel_values"] = inputs["pixel_values"].to(weights.dtype)
    out = weights.model(**inputs.to(weights.device))
    out.logits, out.pred_boxes = out.logits.float(), out.pred_boxes.float()
    sizes = [(picture.height, picture.width) for picture in pictures]
    found = processor.post_process_grounded_object_detection(out, threshold=thresholds.box, target_sizes=sizes)
    return [(each["boxes"], each["scores"]) for each in found]


def _refuse_long(text: str, tokens: int, most: int) -> None:
    if tokens > most:
        raise UsageError(
            f"'{text[:40]}...' has {tokens} tokens; the detector reads {most}: name one thing in a few words"
        )


def _within(corners: torch.Tensor, scores: torch.Tensor, shape: tuple[int, ...], most: int) -> Boxes:
    """Cuts boxes at the image's edges, drops boxes smaller than a pixel, sorts them and keeps the best."""
    height, width = shape
    boxes = corners.double().cpu().numpy().clip(0, [width, height, width, height])
    values = scores.double().cpu().numpy().clip(0, 1)
    inside = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)
    boxes, values = boxes[inside], values[inside]
    order = np.argsort(-values, kind="stable")[:most]
    return Boxes(boxes[order], values[order])
