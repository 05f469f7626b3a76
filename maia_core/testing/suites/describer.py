"""What every `maia_core.protocols.Describer` does."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest

from maia_core.errors import MaiaError
from maia_core.image import Image
from maia_core.protocols import Describer
from maia_core.testing.suites.samples import frozen, half_masks, halves, samples

LEAKS = ("a purple elephant on the moon", "[LABEL]: elephants", "\x1b[31m{0}")
"""Titles that must not find their way into a description."""


class DescriberSuite:
    """Subclass it and return the describer from the fixture `describer`.

    Attributes:
        mask_matters: Whether the describer distinguishes the two halves of `two_things`.
        content_matters: Whether at least two of `images` are described differently.
    """

    mask_matters: ClassVar[bool] = True
    content_matters: ClassVar[bool] = True

    @pytest.fixture
    def describer(self) -> Describer:
        """The describer under test."""
        raise NotImplementedError("override the fixture `describer`: it returns the describer under test")

    @pytest.fixture
    def images(self) -> list[Image]:
        """Images of different sizes, not all of the same thing."""
        return [image.anonymous() for image in samples()]

    @pytest.fixture
    def two_things(self) -> Image:
        """An image that shows one thing in its left half and another in its right half."""
        return halves()

    def test_describes_each_image(self, describer: Describer, images: list[Image]) -> None:
        texts = describer.describe(images)
        assert len(texts) == len(images)
        assert all(isinstance(text, str) and text.strip() for text in texts)
        if self.content_matters:
            assert len(set(texts)) > 1

    def test_image_alone_and_in_a_batch_give_the_same(self, describer: Describer, images: list[Image]) -> None:
        together = describer.describe(images)
        assert [describer.describe([image])[0] for image in images] == together
        assert describer.describe(images[::-1])[::-1] == together

    def test_same_images_again_give_the_same(self, describer: Describer, images: list[Image]) -> None:
        assert describer.describe(images) == describer.describe(images)
        assert describer.summarize(images) == describer.summarize(images)

    def test_is_blind_to_titles_and_provenance(self, describer: Describer, images: list[Image]) -> None:
        """Hypotheses, prompts and file names travel in titles and provenance: who reads them tests nothing."""
        expected, summary = describer.describe(images), describer.summarize(images)
        for title in LEAKS:
            changes = {"title": title, "provenance": {"id": title, "prompt": title, "concepts": [title]}}
            named = [image._copy(**changes) for image in images]
            assert describer.describe(named) == expected
            assert describer.summarize(named) == summary

    def test_mask_says_what_to_describe(self, describer: Describer, two_things: Image) -> None:
        if not self.mask_matters:
            pytest.skip("it looks at whole images")
        left, right = describer.describe(list(half_masks(two_things)))
        assert left != right

    def test_summarizes_as_one_text(self, describer: Describer, images: list[Image]) -> None:
        for some in (images, images[:1], [images[0]] * 5):
            text = describer.summarize(some)
            assert isinstance(text, str)
            assert text.strip()

    def test_no_images_give_nothing(self, describer: Describer) -> None:
        assert list(describer.describe([])) == []
        with suppress(MaiaError):
            assert isinstance(describer.summarize([]), str)

    def test_odd_images_are_described(self, describer: Describer, images: list[Image]) -> None:
        """Wholly masked, one pixel, one row, large, flat."""
        shapes = [(1, 1), (1, 300), (300, 1), (500, 400)]
        odd = [Image.from_pixels(np.full((*shape, 3), 255, np.uint8)) for shape in shapes]
        odd += [image.masked(np.zeros((image.height, image.width), np.bool_)) for image in [*odd, images[0]]]
        texts = describer.describe(odd)
        assert len(texts) == len(odd)
        assert all(isinstance(text, str) for text in texts)
        assert isinstance(describer.summarize(odd), str)

    def test_images_are_left_as_they_were(self, describer: Describer, images: list[Image]) -> None:
        given = [*images, *half_masks(images[0])]
        before = frozen(given)
        describer.describe(given)
        describer.summarize(given)
        assert frozen(given) == before

    def test_fingerprint_is_stable(self, describer: Describer, images: list[Image]) -> None:
        before = describer.fingerprint
        describer.describe(images[:1])
        assert isinstance(before, str)
        assert before.strip()
        assert describer.fingerprint == before
