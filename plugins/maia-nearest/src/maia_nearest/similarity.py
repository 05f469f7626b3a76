"""The `nearest` similarity: how well texts fit images, by the concepts of a library, from pixels and masks alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Image, RunContext, content_id
from maia_nearest.describer import Nearest
from maia_nearest.store import Arrays

if TYPE_CHECKING:
    from maia_nearest.phrases import Meaning, Reader
    from maia_nearest.scores import Scorer, Seen

VERSION = "2"
"""Of the scores: changes whenever the same image and text would get another one."""

KEPT = 4096
"""Images whose concept scores stay in memory, about 7 kB each."""


class NearestSimilarity:
    """Scores texts by the concepts, backgrounds and colours that they name, as the describer `nearest` finds them.

    An image is looked at once, whatever the number of texts: what it shows stays in memory and in the cache.

    Attributes:
        fingerprint: Changes whenever the same image and text would get another score.
    """

    Config = Nearest.Config

    def __init__(self, config: Nearest.Config, context: RunContext) -> None:
        self._describer = Nearest(config, context)
        precision = getattr(self._describer.model, "fast_dtype", "")
        parts = ("nearest-similarity", VERSION, self._describer.fingerprint, precision)
        self.fingerprint = content_id(*(part.encode() for part in parts))
        self._warn = context.warn
        self._lock = threading.Lock()
        self._tools: tuple[Scorer, Reader] | None = None
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._read: OrderedDict[str, Meaning | None] = OrderedDict()

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores every text on every image, in [0, 1]; the README says how a text is read.

        Returns:
            float32 of shape (images, texts); 0 for a text that names nothing which the library knows.
        """
        from maia_nearest.scores import Table

        scores = np.zeros((len(images), len(texts)), np.float32)
        if not scores.size:
            return scores
        with self._lock:
            meanings = [self._meaning(text) for text in texts]
            table = Table(self._look(images))
        for column, meaning in enumerate(meanings):
            if meaning is not None:
                scores[:, column] = table.score(meaning)
        return scores

    def concepts(self) -> tuple[list[str], list[str]]:
        """Returns the names that the library knows: of things and their kinds, and of backgrounds."""
        with self._lock:
            scorer, _ = self._ready()
        return scorer.things, scorer.grounds

    def _ready(self) -> tuple[Scorer, Reader]:
        from maia_nearest.phrases import Reader
        from maia_nearest.scores import Scorer

        if self._tools is None:
            memory = self._describer.memory()
            scorer = Scorer(memory, self._describer.model, self._describer.layer)
            self._tools = scorer, Reader(scorer.things, scorer.grounds)
        return self._tools

    def look(self, images: Sequence[Image]) -> list[Arrays]:
        """Returns what each image shows, whatever text is scored: the fields of `maia_nearest.scores.Seen`.

        maia-cache replaces this method by one that keeps the arrays over runs.
        """
        scorer, _ = self._ready()
        return [vars(seen) for seen in scorer.see(images)]

    def _look(self, images: Sequence[Image]) -> list[Seen]:
        from maia_nearest.scores import Seen

        new = {image.id: image for image in images if image.id not in self._seen}
        shown = [Seen(**arrays) for arrays in self.look(list(new.values()))] if new else []
        found = dict(zip(new, shown, strict=True))
        found |= {image.id: self._seen[image.id] for image in images if image.id not in new}
        for image in images:
            self._seen[image.id] = found[image.id]
            self._seen.move_to_end(image.id)
        while len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return [found[image.id] for image in images]

    def _meaning(self, text: str) -> Meaning | None:
        _, reader = self._ready()
        if text not in self._read:
            self._read[text] = reader.read(text)
            if self._read[text] is None:
                self._warn(f"the similarity 'nearest' knows nothing of what '{text}' names: it scores 0 everywhere")
            while len(self._read) > KEPT:
                self._read.popitem(last=False)
        return self._read[text]
