"""The promises of every `maia_core.plugin.ImageTextSimilarity`."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest

from maia_core.plugin import Image, ImageTextSimilarity
from maia_core.testing.suites.samples import HOSTILE_TEXTS, REFUSALS, frozen, half_masks, halves, samples


class SimilaritySuite:
    """Subclass it and return the similarity from the fixture `similarity`.

    Attributes:
        texts: Two texts: the left half of `halves` fits the first, its right half the second.
        tolerance: How far a score may depend on the rest of the call.
    """

    texts: ClassVar[tuple[str, str]] = ("red", "blue")
    tolerance: ClassVar[float] = 1e-4

    @pytest.fixture
    def similarity(self) -> ImageTextSimilarity:
        """The similarity under test."""
        raise NotImplementedError("override the fixture `similarity`: it returns the similarity under test")

    @pytest.fixture
    def images(self) -> list[Image]:
        """Images of different sizes."""
        return samples()

    @pytest.fixture
    def halves(self) -> Image:
        """An image whose halves fit the two `texts`."""
        return halves()

    def test_scores_every_text_on_every_image(self, similarity: ImageTextSimilarity, images: list[Image]) -> None:
        scores = similarity.similarity(images, self.texts)
        assert scores.dtype == np.float32
        assert scores.shape == (len(images), 2)
        assert np.isfinite(scores).all()

    def test_masked_image_is_scored_where_it_is_bright(self, similarity: ImageTextSimilarity, halves: Image) -> None:
        left, right = similarity.similarity(half_masks(halves), self.texts)
        assert left[0] > right[0]
        assert right[1] > left[1]

    def test_score_depends_on_its_image_and_text_alone(
        self, similarity: ImageTextSimilarity, images: list[Image]
    ) -> None:
        """Scores that are a softmax over the texts, or normalised over the images, do not compare."""
        together = similarity.similarity(images, self.texts)
        alone = [[similarity.similarity([image], [text])[0, 0] for text in self.texts] for image in images]
        assert np.abs(together - np.array(alone)).max() <= self.tolerance

    def test_no_images_or_no_texts_give_an_empty_array(
        self, similarity: ImageTextSimilarity, images: list[Image]
    ) -> None:
        assert similarity.similarity([], self.texts).shape == (0, 2)
        assert similarity.similarity(images, []).shape == (len(images), 0)

    @pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=lambda text: ascii(text[:12]))
    def test_odd_text_is_scored_or_refused(
        self, similarity: ImageTextSimilarity, images: list[Image], text: str
    ) -> None:
        with suppress(*REFUSALS):
            assert np.isfinite(similarity.similarity(images[:2], [text])).all()

    def test_images_are_left_as_they_were(self, similarity: ImageTextSimilarity, images: list[Image]) -> None:
        before = frozen(images)
        similarity.similarity(images, self.texts)
        assert frozen(images) == before

    def test_fingerprint_is_stable(self, similarity: ImageTextSimilarity, images: list[Image]) -> None:
        before = similarity.fingerprint
        similarity.similarity(images[:1], self.texts)
        assert isinstance(before, str)
        assert before.strip()
        assert similarity.fingerprint == before
