"""What every `maia_core.protocols.Detector` does."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import numpy as np
import pytest

from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.protocols import Detector
from maia_core.testing.suites.samples import HOSTILE_TEXTS, frozen, half_masks, samples
from maia_core.types import Detection


class DetectorSuite:
    """Subclass it, return the detector from the fixture `detector`, and from `images` some in which `text` is found.

    Attributes:
        text: What is to be seen in some of `images`, but not in all.
        absent: What is in none of them.
        tolerance: How far a score may depend on the batch.
        mask_tolerance: The same for a mask, as a fraction of the image's pixels.
    """

    text: ClassVar[str] = "a red disc"
    absent: ClassVar[str] = "xqvzk wbfrt"
    tolerance: ClassVar[float] = 1e-4
    mask_tolerance: ClassVar[float] = 0.01

    @pytest.fixture
    def detector(self) -> Detector:
        """The detector under test."""
        raise NotImplementedError("override the fixture `detector`: it returns the detector under test")

    @pytest.fixture
    def images(self) -> list[Image]:
        """Images of different sizes; `text` is in some of them."""
        return samples()

    def test_finds_it_where_it_is(self, detector: Detector, images: list[Image]) -> None:
        found = detector.detect(images, self.text)
        assert len(found) == len(images)
        assert any(found)
        assert not all(found)
        assert all(isinstance(detection, Detection) for detections in found for detection in detections)

    def test_scores_fall_from_one_to_zero(self, detector: Detector, images: list[Image]) -> None:
        for detections in detector.detect(images, self.text):
            scores = [detection.score for detection in detections]
            assert all(0 <= score <= 1 for score in scores)
            assert scores == sorted(scores, reverse=True)

    def test_boxes_lie_in_the_image(self, detector: Detector, images: list[Image]) -> None:
        """In pixels, as (left, top, right, bottom): neither fractions nor (x, y, width, height)."""
        for image, detections in zip(images, detector.detect(images, self.text), strict=True):
            for detection in detections:
                left, top, right, bottom = detection.box
                assert 0 <= left < right <= image.width
                assert 0 <= top < bottom <= image.height

    def test_masks_fit_the_image_and_touch_the_box(self, detector: Detector, images: list[Image]) -> None:
        for image, detections in zip(images, detector.detect(images, self.text), strict=True):
            for detection in detections:
                assert detection.mask.dtype == np.bool_
                assert detection.mask.shape == (image.height, image.width)
                left, top, right, bottom = (round(edge) for edge in detection.box)
                inside = detection.mask[top : max(bottom, top + 1), left : max(right, left + 1)].sum()
                assert inside > 0, "no pixel of the mask is in the box"
                assert inside >= detection.mask.sum() / 2, "most of the mask is outside of the box"

    def test_image_alone_and_in_a_batch_give_the_same(self, detector: Detector, images: list[Image]) -> None:
        together = detector.detect(images, self.text)
        self.assert_same([detector.detect([image], self.text)[0] for image in images], together)
        self.assert_same(detector.detect(images[::-1], self.text)[::-1], together)

    def test_masked_image_is_searched_on_its_clean_pixels(self, detector: Detector, images: list[Image]) -> None:
        expected = detector.detect(images, self.text)
        self.assert_same(detector.detect([half_masks(image)[1] for image in images], self.text), expected)

    def test_what_is_absent_is_not_found(self, detector: Detector, images: list[Image]) -> None:
        with suppress(UsageError):
            assert [list(found) for found in detector.detect(images, self.absent)] == [[]] * len(images)

    @pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=lambda text: ascii(text[:12]))
    def test_odd_text_is_searched_or_refused(self, detector: Detector, images: list[Image], text: str) -> None:
        with suppress(UsageError):
            assert len(detector.detect(images[:2], text)) == 2

    def test_no_images_give_nothing(self, detector: Detector) -> None:
        assert list(detector.detect([], self.text)) == []

    def test_images_are_left_as_they_were(self, detector: Detector, images: list[Image]) -> None:
        before = frozen(images)
        detector.detect(images, self.text)
        assert frozen(images) == before

    def test_fingerprint_is_stable(self, detector: Detector, images: list[Image]) -> None:
        before = detector.fingerprint
        detector.detect(images[:1], self.text)
        assert isinstance(before, str)
        assert before.strip()
        assert detector.fingerprint == before

    def assert_same(self, found: list[list[Detection]], expected: list[list[Detection]]) -> None:
        """Asserts that the same things were found, with the same scores and masks."""
        assert [len(detections) for detections in found] == [len(detections) for detections in expected]
        for one, other in zip(found, expected, strict=True):
            for a, b in zip(one, other, strict=True):
                assert abs(a.score - b.score) <= self.tolerance
                assert np.mean(a.mask != b.mask) <= self.mask_tolerance
