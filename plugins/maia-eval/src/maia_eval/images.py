"""Images for an evaluation: it draws each prompt and seed once, and names prompts that it cannot draw."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import (
    Dataset,
    Image,
    ImageGenerator,
    MaiaError,
    Model,
    System,
    UnreadableImage,
    content_id,
    one_line,
)

BATCH = 16
"""Images that a generator, or a unit, gets at once."""

MAX_CACHED = 800
"""Images that stay in memory for the next unit, about 150 kB each: neutral prompts come again."""


class Drawn(NamedTuple):
    """An image, or why there is none."""

    image: Image | None
    problem: str


class ImageClient:
    """Draws images.

    Attributes:
        made: Images that were generated.
        reused: Images that were asked for again.
    """

    def __init__(self, generator: ImageGenerator, seed: int) -> None:
        self.generator = generator
        self._seed = seed
        self.made = 0
        self.reused = 0
        self._kept: OrderedDict[tuple[str, int], Drawn] = OrderedDict()

    def draw(self, prompts: Sequence[str], samples: int) -> dict[str, list[Drawn]]:
        """Draws `samples` images of each prompt; a warning counts as a failure: the image shows something else."""
        wanted = [(prompt, self._seed_of(prompt, n)) for prompt in dict.fromkeys(prompts) for n in range(samples)]
        missing = [key for key in wanted if key not in self._kept]
        self.reused += len(wanted) - len(missing)
        found = {key: self._kept[key] for key in wanted if key in self._kept}
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            found |= dict(zip(batch, self._some(batch), strict=True))
        for key, drawn in found.items():
            self._kept[key] = drawn
            self._kept.move_to_end(key)
        while len(self._kept) > MAX_CACHED:
            self._kept.popitem(last=False)
        by_prompt: dict[str, list[Drawn]] = {}
        for key in wanted:
            by_prompt.setdefault(key[0], []).append(found[key])
        return by_prompt

    def _some(self, keys: Sequence[tuple[str, int]]) -> list[Drawn]:
        """Draws a batch; if it fails as a whole, each image by itself."""
        try:
            images, warnings = self.generator.generate([prompt for prompt, _ in keys], [seed for _, seed in keys])
        except MaiaError as error:
            if len(keys) == 1:
                return [Drawn(None, one_line(error)[:300])]
            return [drawn for key in keys for drawn in self._some([key])]
        self.made += len(images)
        return [
            Drawn(None if warning else image, warning[:300]) for image, warning in zip(images, warnings, strict=True)
        ]

    def _seed_of(self, prompt: str, sample: int) -> int:
        """Returns a seed that no run derives for the same prompt."""
        name = content_id(f"evaluation/{self._seed}/{sample}".encode(), prompt.encode("utf-8", "replace"))
        return int(name[:8], 16) >> 1


def measured(system: System, images: Sequence[Image]) -> NDArray[np.float64]:
    """Returns the unit's activation on each image: float64 of shape (images,)."""
    values: list[float] = []
    for start in range(0, len(images), BATCH):
        values += system.neuron(images[start : start + BATCH])[0]
    return np.array(values, np.float64)


class HeldOutImages:
    """Held-out real images, with the activations of whole layers measured once for all their units."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        self.dataset = dataset
        self.images: list[Image] = []
        self.skipped = 0
        for index in np.unique(np.linspace(0, max(0, len(dataset) - 1), min(count, len(dataset)), dtype=int)):
            try:
                self.images.append(dataset[int(index)])
            except UnreadableImage:
                self.skipped += 1
        self._layers: dict[tuple[str, str], NDArray[np.float32]] = {}

    def activations(self, system: System) -> NDArray[np.float64]:
        """Returns a unit's activation on each image, from its whole layer where that is known to be the same."""
        model, index = getattr(system, "model", None), getattr(system, "index", None)
        if isinstance(model, Model) and isinstance(index, int) and system.info.layer:
            key = (model.fingerprint, system.info.layer)
            if key not in self._layers:
                batches = (self.images[i : i + BATCH] for i in range(0, len(self.images), BATCH))
                self._layers[key] = np.concatenate([model.activations(batch, system.info.layer) for batch in batches])
            layer = self._layers[key]
            some = slice(0, 8)
            if index < layer.shape[1] and np.allclose(
                layer[some, index], measured(system, self.images[some]), rtol=1e-3, atol=1e-4
            ):
                return np.asarray(layer[:, index], np.float64)
        return measured(system, self.images)
