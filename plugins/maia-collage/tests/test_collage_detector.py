from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

from maia_collage.detector import CollageDetector
from maia_collage.generator import CollageGenerator
from maia_collage.pack import Pack
from maia_collage.scene import render, scene_of
from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.testing import DetectorSuite


class TestCollageDetector(DetectorSuite):
    text: ClassVar[str] = "a tiger"
    absent: ClassVar[str] = "crow"

    @pytest.fixture
    def detector(self, context: Context) -> CollageDetector:
        return CollageDetector(CollageDetector.Config(), context)

    @pytest.fixture
    def images(self, generator: CollageGenerator) -> list[Image]:
        return generator.generate(["a tiger on grass", "a dog on snow", "two tigers and an apple"], [1, 2, 3]).images


@pytest.fixture
def picture(draw: Callable[..., tuple[Image, str]]) -> Image:
    return draw("two tigers, a red car and a green apple on snow", 3)[0]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("tiger", 2), ("tigers", 2), ("big cat", 2), ("mammal", 2), ("animal", 2), ("thing", 4), ("red thing", 1),
        ("red", 1), ("red car", 1), ("red apple", 0), ("green apple", 1), ("fruit", 1), ("snow", 1), ("white", 1),
        ("background", 1), ("grass", 0), ("crow", 0), ("violin", 0), ("a white background", 1), ("round thing", 1),
    ],
)  # fmt: skip
def test_finds_by_name_at_any_level_colour_and_background(
    detector: CollageDetector, picture: Image, text: str, count: int
) -> None:
    [found] = detector.detect([picture], text)
    assert len(found) == count
    assert all(detection.score == 1 for detection in found)


def test_masks_are_the_objects_and_the_background_is_the_rest(
    detector: CollageDetector, picture: Image, pack: Pack
) -> None:
    scene = scene_of(picture, pack)
    assert scene is not None
    masks = render(scene, pack, picture.width).masks
    [tigers] = detector.detect([picture], "tiger")
    assert [t.mask.sum() for t in tigers] == [m.sum() for m in masks[:2]]
    [[behind]] = detector.detect([picture], "background")
    assert (behind.mask == ~np.any(masks, axis=0)).all()


@pytest.mark.parametrize("text", ["tgier", "labrador", "", "fluffy tiger", "no tiger", "the"])
def test_text_that_names_nothing_known_is_refused(detector: CollageDetector, picture: Image, text: str) -> None:
    """A truth must not rest on a guess: neither stand-ins nor misspellings are taken."""
    with pytest.raises(UsageError, match="does not know"):
        detector.detect([picture], text)


def test_near_name_is_offered(detector: CollageDetector, picture: Image) -> None:
    with pytest.raises(UsageError, match="Did you mean 'tiger'"):
        detector.detect([picture], "tgier")


def test_foreign_image_is_refused(detector: CollageDetector) -> None:
    with pytest.raises(UsageError, match="not a collage of this pack"):
        detector.detect([Image.from_pixels(np.zeros((30, 30, 3), np.uint8))], "tiger")
