"""Named colours, texture and saliency by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from maia_nearest import colours
from maia_nearest.saliency import blobs
from maia_nearest.whitening import Whitening


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"), ((25, 22, 20), "black"), ((128, 128, 128), "grey"), ((80, 82, 84), "grey"),
        ((255, 255, 255), "white"), ((220, 20, 30), "red"), ((120, 10, 15), "red"), ((245, 130, 20), "orange"),
        ((120, 75, 40), "brown"), ((80, 50, 30), "brown"), ((190, 150, 110), "brown"), ((250, 220, 40), "yellow"),
        ((40, 150, 50), "green"), ((60, 80, 30), "green"), ((40, 190, 180), "turquoise"), ((30, 70, 200), "blue"),
        ((120, 180, 235), "blue"), ((20, 30, 90), "blue"), ((120, 50, 165), "purple"), ((245, 130, 180), "pink"),
        ((255, 192, 203), "pink"),
    ],
)  # fmt: skip
def test_colour_names(rgb, name) -> None:
    pixels = np.full((4, 4, 3), rgb, np.uint8)
    assert colours.shares(pixels, np.ones((4, 4), np.bool_)) == {name: 1.0}


def test_shares_count_only_the_mask() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:, 2:] = (220, 20, 30)
    mask = np.zeros((4, 4), np.bool_)
    mask[:, 1:] = True
    assert colours.shares(pixels, mask) == pytest.approx({"red": 2 / 3, "black": 1 / 3})


def test_lab_of_known_colours() -> None:
    # CIE L*a*b* (D65) of sRGB white and red, as colour science tables give them.
    assert np.allclose(colours.lab(np.array([255, 255, 255], np.uint8)), (100, 0, 0), atol=0.1)
    assert np.allclose(colours.lab(np.array([255, 0, 0], np.uint8)), (53.2, 80.1, 67.2), atol=0.3)


def test_texture_is_that_of_the_mask() -> None:
    pixels = np.full((40, 40, 3), 120, np.uint8)
    pixels[:, 20:] = np.random.default_rng(0).integers(0, 256, (40, 20, 1))
    left = np.zeros((40, 40), np.bool_)
    left[:, :20] = True
    assert colours.texture(pixels, left) == "smooth"
    assert colours.texture(pixels, ~left) == "rough"
    assert colours.texture(pixels[:1, :1], left[:1, :1]) == ""


def test_object_is_found_where_it_is() -> None:
    pixels = np.full((120, 200, 3), (90, 140, 60), np.uint8)
    pixels[30:80, 120:180] = (200, 30, 30)
    (blob,) = blobs(pixels)
    expected = np.zeros((120, 200), np.bool_)
    expected[30:80, 120:180] = True
    assert (blob.mask & expected).sum() / (blob.mask | expected).sum() > 0.8


def test_object_that_touches_a_side_is_found() -> None:
    pixels = np.full((120, 120, 3), (90, 140, 60), np.uint8)
    pixels[60:, 30:90] = (200, 30, 30)
    assert blobs(pixels)[0].mask[100, 60]
    assert not blobs(pixels)[0].mask[20, 60]


def test_even_image_has_no_object() -> None:
    assert blobs(np.full((50, 50, 3), 77, np.uint8)) == []


def test_whitening_ignores_what_differs_between_views_of_one_thing() -> None:
    rng = np.random.default_rng(0)
    things = rng.normal(size=(30, 1, 12))
    nuisance = np.zeros((30, 4, 12))
    nuisance[..., :3] = 20 * rng.normal(size=(30, 4, 3))
    views = (things + nuisance).astype(np.float32)
    fresh = things[:, 0].copy()
    fresh[:, :3] += 20 * rng.normal(size=(30, 3))
    white = Whitening.fit(views)
    nearest = (white(fresh.astype(np.float32)) @ white(views).mean(1).T).argmax(1)
    raw = (fresh @ views.mean(1).T).argmax(1)
    assert (nearest == np.arange(30)).mean() > 0.9 > (raw == np.arange(30)).mean()
