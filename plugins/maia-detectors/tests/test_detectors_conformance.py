from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from maia_core.image import Image
from maia_core.testing import DetectorSuite, DistributionSuite, samples
from maia_detectors.detector import TransformersDetector


class TestDistribution(DistributionSuite):
    distribution: ClassVar[str] = "maia-detectors"
    light: ClassVar[frozenset[str]] = frozenset({"maia_hub"})


def between(make: Callable[..., TransformersDetector], images: list[Image], text: str, **options: Any) -> float:
    """Returns a threshold that some images reach and others do not, in the widest gap between the best scores."""
    found = make(box_threshold=0, text_threshold=0, **options).detect(images, text)
    best = sorted(detections[0].score if detections else 0.0 for detections in found)
    return max((high - low, (high + low) / 2) for low, high in pairwise(best))[1]


class TestGroundingDino(DetectorSuite):
    """Random weights find anything anywhere: what is found depends on where the threshold lies."""

    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def images(self) -> list[Image]:
        return samples()

    @pytest.fixture
    def detector(self, make: Callable[..., TransformersDetector], images: list[Image]) -> TransformersDetector:
        return make(box_threshold=between(make, images, self.text, **self.options), **self.options)

    def test_what_is_absent_is_not_found(self, make: Callable[..., TransformersDetector], images: list[Image]) -> None:  # type: ignore[override]
        assert make(**{**self.options, "box_threshold": 1.0}).detect(images, self.text) == [[]] * len(images)


class TestGroundingDinoWithSam(TestGroundingDino):
    options: ClassVar[dict[str, Any]] = {"segmenter": "sam"}


class TestOwlWithSam2(TestGroundingDino):
    options: ClassVar[dict[str, Any]] = {"model": "owlv2", "segmenter": "sam2"}
