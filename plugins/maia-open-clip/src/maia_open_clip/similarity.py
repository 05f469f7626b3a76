"""The similarity `open-clip`: the cosine between the embeddings of an image and a text, of CLIP, SigLIP and kin."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from maia_core.plugin import Image, PluginConfig, RunContext, content_id
from maia_hub.device import choose_device

if TYPE_CHECKING:
    from torch import Tensor

    from maia_open_clip.zoo import Pair

T = TypeVar("T")

VERSION = "1"
"""Of how images and texts are shown: changes whenever the same ones would get another score."""

KEPT = 16_384
"""Embeddings of images, and of texts, that stay in memory."""

MAX_LOST = 200
"""Characters of a text's lost end that a warning shows."""

Vectors = NDArray[np.float32]


class OpenClipSimilarity:
    """Cosine similarity of images and texts, in the embedding of a model of open_clip.

    A masked image is shown as it is drawn, darkened outside of its mask. The weights are loaded at the first call.

    Attributes:
        fingerprint: Changes with the model, its weights and the template.
    """

    class Config(PluginConfig):
        """Which model, with which weights."""

        model: str = "ViT-B-32"
        """Its name in open_clip: `ViT-B-32`, `ViT-B-16-SigLIP`."""
        weights: str = "default"
        """A tag of open_clip's (`openai`, `laion2b_s34b_b79k`), a file (`.pt` or `.safetensors`) of the whole model, or
        `random`; the default is `openai` where there is one, else the first tag."""
        template: str = "{}"
        """What the text encoder reads: `{}` stands for the text, as in `a photo of {}`."""
        device: str = "auto"
        """Where it runs: `auto` (an accelerator if there is one, else the CPU), `cpu`, `cuda`, `mps`."""
        batch: int = Field(64, gt=0)
        """Images or texts that are embedded at once."""

        @field_validator("template")
        @classmethod
        def _has_a_place(cls, value: str) -> str:
            if "{}" not in value:
                raise ValueError("it needs {} where the text goes, such as 'a photo of {}'")
            return value

    def __init__(self, config: Config, context: RunContext) -> None:
        self.config = config
        self._context = context
        self._lock = threading.Lock()
        self._pair: Pair | None = None
        self._images: OrderedDict[str, Vectors] = OrderedDict()
        self._texts: OrderedDict[str, Vectors] = OrderedDict()
        parts = ("open-clip-similarity", VERSION, config.model, _identity(config.weights), config.template)
        self.fingerprint = content_id(*(part.encode() for part in parts))

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns the cosine of every image with every text, in [-1, 1]: float32 of shape (images, texts).

        Raises:
            UsageError: there is no such model or file of weights.
            RunError: the weights cannot be fetched.
        """
        if not images or not texts:
            return np.zeros((len(images), len(texts)), np.float32)
        with self._lock:
            seen = self._remembered(self._images, {image.id: image for image in images}, self._embed_images)
            read = self._remembered(self._texts, {text: text for text in texts}, self._embed_texts)
        return np.stack([seen[image.id] for image in images]) @ np.stack([read[text] for text in texts]).T

    def _embed_images(self, images: Sequence[Image]) -> Vectors:
        import torch

        pair = self._ready()
        # The preprocessing of models shows clean images; a masked one is to be seen as it is drawn.
        drawn = [Image.from_pixels(image.pixels()) if image.clean else image for image in images]
        pixels = torch.from_numpy(np.stack([pair.preprocess.crop(image) for image in drawn])).to(self._device)
        mean, std = (torch.tensor(v, device=pixels.device) for v in (pair.preprocess.mean, pair.preprocess.std))
        shown = ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return _units(pair.module.encode_image(shown))

    def _embed_texts(self, texts: Sequence[str]) -> Vectors:
        import torch

        pair = self._ready()
        shown = [self.config.template.replace("{}", text) for text in texts]
        tokens = pair.tokenizer(shown)
        for text, row in zip(shown, tokens, strict=True):
            if lost := lost_end(text, row, pair.tokenizer):
                self._context.warn(
                    f"open-clip/{self.config.model}: the text is too long: the model reads {len(row)} tokens of it and "
                    f"does not know '{lost}'"
                )
        with torch.inference_mode():
            return _units(pair.module.encode_text(tokens.to(self._device)))

    def _ready(self) -> Pair:
        if self._pair is None:
            from maia_open_clip.zoo import build_pair

            pair = build_pair(self.config.model, self.config.weights)
            self._device = choose_device(self.config.device)
            pair.module.to(self._device).eval()
            if pair.note:
                self._context.warn(f"open-clip/{self.config.model}: {pair.note}")
            self._pair = pair
        return self._pair

    def _remembered(
        self, kept: OrderedDict[str, Vectors], wanted: Mapping[str, T], embed: Callable[[Sequence[T]], Vectors]
    ) -> dict[str, Vectors]:
        """Embeds what is not in memory, and keeps the last `KEPT`."""
        found = {key: kept[key] for key in wanted if key in kept}
        new = [key for key in wanted if key not in kept]
        for start in range(0, len(new), self.config.batch):
            keys = new[start : start + self.config.batch]
            found |= zip(keys, embed([wanted[key] for key in keys]), strict=True)
        for key in wanted:
            kept[key] = found[key]
            kept.move_to_end(key)
        while len(kept) > KEPT:
            kept.popitem(last=False)
        return found


def lost_end(text: str, tokens: Tensor, tokenizer: Callable[[list[str]], Tensor]) -> str:
    """Returns the end of a text that its tokens do not hold, at most `MAX_LOST` characters; "" if they hold all.

    Every tokenizer cuts in silence. A beginning that has the same tokens as the whole text shows what was cut: without
    its last letter or digit a text has other tokens, unless they do not reach so far.
    """
    import torch

    ends = [index + 1 for index, letter in enumerate(text) if letter.isalnum()]
    read, low, high = 0, 0, len(ends)
    if not ends or not torch.equal(tokenizer([text[: ends[-1] - 1]])[0], tokens):
        return ""
    while low < high:  # The shortest beginning with these tokens.
        read = (low + high) // 2
        if torch.equal(tokenizer([text[: ends[read]]])[0], tokens):
            high = read
        else:
            low = read + 1
    lost = text[ends[low] :].strip()
    return lost if len(lost) <= MAX_LOST else f"{lost[: MAX_LOST - 1]}…"


def _units(vectors: Tensor) -> Vectors:
    """Returns vectors of shape (n, units) at length 1."""
    import torch

    units = torch.nn.functional.normalize(vectors.float(), dim=-1)
    return np.asarray(units.cpu().numpy(), np.float32)


def _identity(weights: str) -> str:
    """Returns what tells weights apart: the content of a file, else their name."""
    path = Path(weights).expanduser()
    if not path.is_file():
        return weights
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
