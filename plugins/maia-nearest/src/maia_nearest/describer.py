"""The `nearest` describer: nearest named concepts, colours, texture and background, from pixels and masks alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maia_core.plugin import Image, LabelledDataset, Model, PluginConfig, PluginRef, RunContext, content_id

if TYPE_CHECKING:
    from maia_nearest.memory import Memory, Progress

VERSION = "1"
"""Of the algorithm: changes whenever the same image would be described otherwise."""


class Nearest:
    """Names what an image shows by comparing it with a library of named objects, as a vision model sees them.

    The library's features are computed by `prepare`, or when the first image is described, and cached.

    Attributes:
        fingerprint: Changes whenever the same image would be described otherwise.
        model: What looks at the images.
        layer: The model's layer; empty until `memory` has chosen one.
    """

    cache_name = "nearest"

    class Config(PluginConfig):
        """Options of the describer."""

        model: str = "efficientnet-lite2"
        """Model plugin whose features images are compared with."""
        layer: str = ""
        """Layer of that model; empty: its last layer with a spatial map."""
        library: PluginRef = PluginRef(name="collage-cutouts")
        """Labelled data set of named objects, each masked with its shape; with its options."""
        backgrounds: str = "collage-backgrounds"
        """Labelled data set of named backgrounds; empty: describe backgrounds by colour alone."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.model: Model = context.build("model", config.model)
        self._library: LabelledDataset = context.build("dataset", config.library.name, **config.library.options)
        self._backgrounds: LabelledDataset | None = None
        if config.backgrounds:
            self._backgrounds = context.build("dataset", config.backgrounds)
        self._context = context
        self.layer = config.layer
        self._lock = threading.Lock()
        self._learned: Memory | None = None
        grounds = self._backgrounds.fingerprint if self._backgrounds is not None else ""
        parts = ("nearest", VERSION, self.model.fingerprint, config.layer, self._library.fingerprint, grounds)
        self.fingerprint = content_id(*(part.encode() for part in parts))

    def describe(self, images: Sequence[Image]) -> list[str]:
        """Describes the unmasked region of each image in one line; the README gives the grammar."""
        from maia_nearest import text
        from maia_nearest.findings import find

        return [text.describe(found) for found in find(images, self.memory(), self.model, self.layer)]

    def summarize(self, images: Sequence[Image]) -> str:
        """Says in how many of the images each name, kind, colour, texture and background was found."""
        from maia_nearest import text
        from maia_nearest.findings import find

        return text.summarize(find(images, self.memory(), self.model, self.layer))

    def prepare(self, progress: Progress | None = None) -> None:
        """Learns the library now, so that no run waits for it; `maia collage fetch` calls it.

        Args:
            progress: Gets the number of crops that the model has seen, and of all; not called if the cache has it.
        """
        self.memory(progress)

    def memory(self, progress: Progress | None = None) -> Memory:
        """Returns what was learned from the library: read from the cache, or learned now (which takes a while)."""
        from maia_nearest import library, memory

        shown = progress or memory.quiet
        with self._lock:
            if self._learned is None:
                self.layer = self.layer or library.choose_layer(self.model)
                self._learned = memory.recall(
                    self._context.cache / "nearest" / f"{self.fingerprint}.npz",
                    lambda: memory.learn(
                        self.model, self.layer, self._library, self._backgrounds, self._context.warn, shown
                    ),
                    self._context.warn,
                )
            return self._learned
