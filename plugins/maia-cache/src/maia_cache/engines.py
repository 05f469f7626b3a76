"""A cache before every generator, editor and describer of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from maia_cache.forms import ARRAYS, PICTURE, TEXT, Arrays, Picture
from maia_cache.store import ContentCache, shared
from maia_core.plugin import (
    Describer,
    GeneratedImages,
    Image,
    ImageEditor,
    ImageGenerator,
    RunContext,
    UsageError,
    content_id,
    hookimpl,
)


class _Cached:
    """An engine with a cache before it: its other attributes are the engine's own.

    Attributes:
        fingerprint: The engine's.
    """

    def __init__(self, engine: Any, cache: ContentCache, name: str = "engine") -> None:
        """Puts a cache before an engine.

        Args:
            engine: Asked for everything that the cache does not have. It may have the attributes `cache_name`,
                `cache_step` and `cache_key` of `maia_core.protocols`.
            cache: The cache.
            name: Names the engine in `maia cache`, unless it has a `cache_name`.
        """
        self.fingerprint: str = engine.fingerprint
        self._engine = engine
        self._cache = cache
        self._name: str = getattr(engine, "cache_name", name)
        self._step: int | None = getattr(engine, "cache_step", None)

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "_engine":  # Not set yet, as in a copy.
            raise AttributeError(attribute)
        return getattr(self._engine, attribute)

    def _key(self, *parts: str) -> str:
        if hasattr(self._engine, "cache_key"):
            return str(self._engine.cache_key(*parts))
        return content_id(*(part.encode("utf-8", "surrogatepass") for part in (self.fingerprint, *parts)))


class CachedGenerator(_Cached):
    """A generator that makes the image of a prompt and seed once, over all runs and processes."""

    _engine: ImageGenerator

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Makes one image per prompt, titled with it.

        Raises:
            UsageError: the numbers of prompts and seeds differ.
            MaiaError: the generator failed; the images that it made before are cached.
        """
        if len(prompts) != len(seeds):
            raise UsageError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")

        def make(positions: list[int]) -> list[Picture]:
            return _pictures(self._engine.generate([prompts[n] for n in positions], [seeds[n] for n in positions]))

        keys = [self._key("generate", prompt, str(seed)) for prompt, seed in zip(prompts, seeds, strict=True)]
        return _titled(self._cache.recall(self._name, keys, PICTURE, make, self._step), prompts)


class CachedEditor(_Cached):
    """An editor that makes the same edit of the same pixels with the same seed once."""

    _engine: ImageEditor

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Returns one edited image each, titled with the original's title and the instruction.

        Raises:
            UsageError: the numbers of images, instructions and seeds differ.
            MaiaError: the editor failed; the images that it made before are cached.
        """
        if not len(images) == len(instructions) == len(seeds):
            raise UsageError(
                f"{len(images)} images need as many instructions and seeds, not {len(instructions)} and {len(seeds)}"
            )
        clean = [image.clean or image for image in images]

        def make(positions: list[int]) -> list[Picture]:
            texts, chosen = [instructions[n] for n in positions], [seeds[n] for n in positions]
            return _pictures(self._engine.edit([clean[n] for n in positions], texts, chosen))

        edits = list(zip(clean, instructions, seeds, strict=True))
        keys = [self._key("edit", image.id, text, str(seed)) for image, text, seed in edits]
        titles = [f"{image.title}, {text}" if image.title else text for image, text, _ in edits]
        return _titled(self._cache.recall(self._name, keys, PICTURE, make, self._step), titles)


class CachedDescriber(_Cached):
    """A describer that describes the same image, or the same images together, once.

    A text that equals the describer's optional attribute `refusal` is not cached.
    """

    _engine: Describer

    def describe(self, images: Sequence[Image]) -> list[str]:
        """Describes what the unmasked region of each image shows; the describer gets no titles."""

        def make(positions: list[int]) -> list[str]:
            return self._engine.describe([images[n].anonymous() for n in positions])

        keys = [self._key("describe", image.id) for image in images]
        return self._cache.recall(self._name, keys, TEXT, make, self._step, self._cacheable)

    def summarize(self, images: Sequence[Image]) -> str:
        """Says what the unmasked regions of all images have in common; the describer gets no titles."""

        def make(_: list[int]) -> list[str]:
            return [self._engine.summarize([image.anonymous() for image in images])]

        key = self._key("summarize", *(image.id for image in images))
        return self._cache.recall(self._name, [key], TEXT, make, cacheable=self._cacheable)[0]

    def _cacheable(self, text: str) -> bool:
        return text != getattr(self._engine, "refusal", None)


def cache_look(engine: Any, cache: ContentCache, name: str) -> None:
    """Replaces a similarity's `look` by one that looks at each image once: it returns named arrays for each."""
    look: Callable[[list[Image]], list[Arrays]] = engine.look

    def recalled(images: Sequence[Image]) -> list[Arrays]:
        keys = [content_id(engine.fingerprint.encode(), image.id.encode()) for image in images]
        return cache.recall(name, keys, ARRAYS, lambda positions: look([images[n] for n in positions]), LOOKS)

    engine.look = recalled


LOOKS = 64
"""Images that a similarity looks at before what it sees is kept."""

WRAPPERS = {"generator": CachedGenerator, "editor": CachedEditor, "describer": CachedDescriber}
"""The kinds of engines that are cached."""


@hookimpl
def part_built(kind: str, name: str, part: Any, context: RunContext) -> object | None:
    """Puts a cache before an engine, or a similarity's `look`, unless it says `cached = False`."""
    if not getattr(part, "cached", True):
        return None
    if kind == "similarity" and hasattr(part, "look"):
        cache_look(part, shared(context), f"{kind}-{name}")
    return WRAPPERS[kind](part, shared(context), f"{kind}-{name}") if kind in WRAPPERS else None


def _pictures(made: GeneratedImages) -> list[Picture]:
    return [Picture(image, warning) for image, warning in zip(made.images, made.warnings, strict=True)]


def _titled(pictures: Sequence[Picture], titles: Sequence[str]) -> GeneratedImages:
    """Gives images the titles of this call: they are kept without, as equal edits may be of unlike titles."""
    images = [picture.image.retitled(title) for picture, title in zip(pictures, titles, strict=True)]
    return GeneratedImages(images, [picture.warning for picture in pictures])
