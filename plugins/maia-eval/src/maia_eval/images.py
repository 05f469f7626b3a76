"""Images for an evaluation: it draws each prompt and seed once, and names prompts that it cannot draw."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from maia_core.plugin import Image, ImageGenerator, MaiaError, content_id, one_line

BATCH = 16
"""Images that a generator gets at once."""

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
