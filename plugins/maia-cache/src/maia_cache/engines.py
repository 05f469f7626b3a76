"""Engines that remember: a generator, an editor or a describer with a cache before it."""

from __future__ import annotations

from collections.abc import Sequence

from maia_cache.forms import PICTURE, TEXT, Picture
from maia_cache.store import ContentCache
from maia_core.plugin import Describer, GeneratedImages, Image, ImageEditor, ImageGenerator, UsageError, content_id


class CachedGenerator:
    """A generator of which the same prompt and seed is asked once, over all runs and processes.

    Attributes:
        name: What the generator is called in the cache.
        fingerprint: The generator's.
    """

    def __init__(
        self, generator: ImageGenerator, cache: ContentCache, name: str = "generator", step: int | None = None
    ) -> None:
        """Puts a cache before a generator.

        Args:
            generator: Asked for what the cache does not have.
            cache: The cache.
            name: What the generator is called in the cache.
            step: How many images it is asked for in one call; all that are missing where it is None.
        """
        self.name, self.fingerprint = name, generator.fingerprint
        self._generator, self._cache, self._step = generator, cache, step

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Makes one image a prompt, titled with it.

        Raises:
            UsageError: there are not as many seeds as prompts.
            MaiaError: the generator fails; what was made before is kept.
        """
        if len(prompts) != len(seeds):
            raise UsageError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")

        def make(places: list[int]) -> list[Picture]:
            return _pictures(self._generator.generate([prompts[n] for n in places], [seeds[n] for n in places]))

        keys = [_key(self, "generate", prompt, str(seed)) for prompt, seed in zip(prompts, seeds, strict=True)]
        return _titled(self._cache.recall(self.name, keys, PICTURE, make, self._step), prompts)


class CachedEditor:
    """An editor of which the same edit of the same pixels with the same seed is asked once.

    Attributes:
        name: What the editor is called in the cache.
        fingerprint: The editor's.
    """

    def __init__(self, editor: ImageEditor, cache: ContentCache, name: str = "editor", step: int | None = None) -> None:
        """Puts a cache before an editor.

        Args:
            editor: Asked for what the cache does not have.
            cache: The cache.
            name: What the editor is called in the cache.
            step: How many images it is asked for in one call; all that are missing where it is None.
        """
        self.name, self.fingerprint = name, editor.fingerprint
        self._editor, self._cache, self._step = editor, cache, step

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Returns one edited image each, titled with the original's title and the instruction.

        Raises:
            UsageError: images, instructions and seeds are not equally many.
            MaiaError: the editor fails; what was made before is kept.
        """
        if not len(images) == len(instructions) == len(seeds):
            raise UsageError(
                f"{len(images)} images need as many instructions and seeds, not {len(instructions)} and {len(seeds)}"
            )
        clean = [image.clean or image for image in images]

        def make(places: list[int]) -> list[Picture]:
            texts, chosen = [instructions[n] for n in places], [seeds[n] for n in places]
            return _pictures(self._editor.edit([clean[n] for n in places], texts, chosen))

        keys = [
            _key(self, "edit", image.id, text, str(seed))
            for image, text, seed in zip(clean, instructions, seeds, strict=True)
        ]
        titles = [
            f"{image.title}, {text}" if image.title else text for image, text in zip(clean, instructions, strict=True)
        ]
        return _titled(self._cache.recall(self.name, keys, PICTURE, make, self._step), titles)


class CachedDescriber:
    """A describer that is asked about the same image, or the same images together, once.

    Attributes:
        name: What the describer is called in the cache.
        fingerprint: The describer's.
    """

    def __init__(
        self, describer: Describer, cache: ContentCache, name: str = "describer", step: int | None = None
    ) -> None:
        """Puts a cache before a describer.

        Args:
            describer: Asked for what the cache does not have; a text that is its attribute `passing` (what stands for
                a refusal) is not kept.
            cache: The cache.
            name: What the describer is called in the cache.
            step: How many images it is asked about in one call; all that are missing where it is None.
        """
        self.name, self.fingerprint = name, describer.fingerprint
        self._describer, self._cache, self._step = describer, cache, step
        self._passing = getattr(describer, "passing", None)

    def describe(self, images: Sequence[Image]) -> list[str]:
        """Describes what the unmasked region of each image shows; titles are not passed on."""

        def make(places: list[int]) -> list[str]:
            return self._describer.describe([images[n].anonymous() for n in places])

        keys = [_key(self, "describe", image.id) for image in images]
        return self._cache.recall(self.name, keys, TEXT, make, self._step, self._lasts)

    def summarize(self, images: Sequence[Image]) -> str:
        """Says what the unmasked regions of all images have in common; titles are not passed on."""

        def make(places: list[int]) -> list[str]:
            return [self._describer.summarize([image.anonymous() for image in images])]

        key = _key(self, "summarize", *(image.id for image in images))
        return self._cache.recall(self.name, [key], TEXT, make, lasts=self._lasts)[0]

    def _lasts(self, text: str) -> bool:
        return text != self._passing


def _key(engine: CachedGenerator | CachedEditor | CachedDescriber, *parts: str) -> str:
    return content_id(*(part.encode("utf-8", "surrogatepass") for part in (engine.fingerprint, *parts)))


def _pictures(made: GeneratedImages) -> list[Picture]:
    return [Picture(image, warning) for image, warning in zip(made.images, made.warnings, strict=True)]


def _titled(pictures: Sequence[Picture], titles: Sequence[str]) -> GeneratedImages:
    """Gives images the titles of this call: they are kept without, as equal edits may be of unlike titles."""
    images = [
        # No record holds lone surrogates.
        picture.image.retitled(title.encode("utf-8", "replace").decode("utf-8"))
        for picture, title in zip(pictures, titles, strict=True)
    ]
    return GeneratedImages(images, [picture.warning for picture in pictures])
