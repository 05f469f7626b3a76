"""What every `maia_core.protocols.ImageGenerator` does."""

from __future__ import annotations

from typing import ClassVar

import pytest

from maia_core.errors import MendableError
from maia_core.image import Image
from maia_core.protocols import ImageGenerator
from maia_core.testing.suites.samples import HOSTILE_TEXTS, REFUSALS, farthest
from maia_core.types import GeneratedImages


class GeneratorSuite:
    """Subclass it and return the generator from the fixture `generator`.

    Attributes:
        prompts: Two prompts that it follows, and that give different images.
        nonsense: A prompt that it cannot follow, about which it must warn; None for one that draws anything.
        tolerance: How far a pixel (0 to 255) may depend on the batch; 0 where that is exact.
    """

    prompts: ClassVar[tuple[str, str]] = ("a red disc", "a blue disc")
    nonsense: ClassVar[str | None] = "xqvzk wbfrt"
    tolerance: ClassVar[float] = 0

    @pytest.fixture
    def generator(self) -> ImageGenerator:
        """The generator under test."""
        raise NotImplementedError("override the fixture `generator`: it returns the generator under test")

    @pytest.fixture
    def twin(self) -> ImageGenerator | None:
        """A second instance made in the same way, or None where that costs too much."""
        return None

    def test_makes_one_image_and_one_warning_per_prompt(self, generator: ImageGenerator) -> None:
        made = generator.generate(self.prompts, [1, 2])
        assert isinstance(made, GeneratedImages)
        assert len(made.images) == len(made.warnings) == 2
        assert all(isinstance(image, Image) and image.clean is None for image in made.images)
        assert made.warnings == ["", ""], "there is nothing to warn of in prompts that it follows"

    def test_prompt_decides(self, generator: ImageGenerator) -> None:
        first, second = generator.generate(self.prompts, [5, 5]).images
        assert farthest(first, second) > self.tolerance

    def test_seed_decides(self, generator: ImageGenerator) -> None:
        """Replicates of a prompt are different images."""
        made = generator.generate([self.prompts[0]] * 4, [1, 2, 3, 4]).images
        assert len({image.id for image in made}) > 1

    def test_same_prompt_and_seed_give_the_same_pixels(self, generator: ImageGenerator) -> None:
        one, again = generator.generate([self.prompts[0]] * 2, [7, 7]).images
        later = generator.generate([self.prompts[0]], [7]).images[0]
        assert max(farthest(one, again), farthest(one, later)) <= self.tolerance

    def test_batch_and_order_change_nothing(self, generator: ImageGenerator) -> None:
        prompts, seeds = [*self.prompts, self.prompts[0], *self.prompts], [3, 4, 5, 6, 7]
        together = generator.generate(prompts, seeds).images
        backwards = generator.generate(prompts[::-1], seeds[::-1]).images[::-1]
        alone = [generator.generate([p], [s]).images[0] for p, s in zip(prompts, seeds, strict=True)]
        for image, other, single in zip(together, backwards, alone, strict=True):
            assert farthest(image, other) <= self.tolerance
            assert farthest(image, single) <= self.tolerance

    def test_all_seeds_of_a_run_can_be_used(self, generator: ImageGenerator) -> None:
        assert len(generator.generate([self.prompts[0]] * 2, [0, 2**31 - 1]).images) == 2

    def test_no_prompts_give_nothing(self, generator: ImageGenerator) -> None:
        made = generator.generate([], [])
        assert (list(made.images), list(made.warnings)) == ([], [])

    def test_prompts_without_seeds_are_refused(self, generator: ImageGenerator) -> None:
        with pytest.raises(REFUSALS):
            generator.generate(list(self.prompts), [1])

    def test_prompt_that_it_cannot_follow_is_warned_of(self, generator: ImageGenerator) -> None:
        if self.nonsense is None:
            pytest.skip("it draws anything")
        _, [quiet, warning] = generator.generate([self.prompts[0], self.nonsense], [1, 1])
        assert quiet == ""
        assert warning.strip()

    @pytest.mark.parametrize("prompt", HOSTILE_TEXTS, ids=lambda text: ascii(text[:12]))
    def test_odd_prompt_is_drawn_or_refused(self, generator: ImageGenerator, prompt: str) -> None:
        try:
            made = generator.generate([prompt], [1])
        except MendableError:
            return
        assert len(made.images) == len(made.warnings) == 1
        made.images[0].model_dump_json().encode()
        made.warnings[0].encode()

    def test_fingerprint_is_stable(self, generator: ImageGenerator, twin: ImageGenerator | None) -> None:
        before = generator.fingerprint
        image = generator.generate([self.prompts[0]], [11]).images[0]
        assert isinstance(before, str)
        assert before.strip()
        assert generator.fingerprint == before
        if twin is not None:
            assert twin.fingerprint == before
            assert farthest(twin.generate([self.prompts[0]], [11]).images[0], image) <= self.tolerance
