import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.types import Message, Usage


def _image(value: int = 200, title: str = "") -> Image:
    return Image.from_pixels(np.full((4, 6, 3), value, np.uint8), title)


def test_id_depends_on_the_pixels_and_their_shape_alone():
    wide, tall = np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)
    assert Image.from_pixels(wide, "a", source="x").id == Image.from_pixels(wide.copy(), "b").id
    assert Image.from_pixels(wide).id != Image.from_pixels(tall).id


def test_masked_image_darkens_outside_and_keeps_the_clean_one():
    mask = np.zeros((4, 6), np.bool_)
    mask[1, 2] = True
    masked = _image().masked(mask)
    assert masked.pixels()[1, 2].tolist() == [200, 200, 200]
    assert masked.pixels()[0, 0].tolist() == [50, 50, 50]
    assert masked.clean is not None
    assert masked.clean.pixels().min() == 200
    assert np.array_equal(masked.mask(), mask)


def test_masking_twice_replaces_the_mask_instead_of_darkening_twice():
    everything, nothing = np.ones((4, 6), np.bool_), np.zeros((4, 6), np.bool_)
    assert _image().masked(nothing).masked(everything).pixels().min() == 200


def test_mask_of_another_shape_is_refused():
    with pytest.raises(UsageError, match="mask"):
        _image().masked(np.ones((6, 4), np.bool_))


@pytest.mark.parametrize("pixels", [np.zeros((4, 6), np.uint8), np.zeros((4, 6, 4), np.uint8), np.zeros((4, 6, 3))])
def test_arrays_that_are_no_rgb_image_are_refused(pixels):
    with pytest.raises(UsageError, match="uint8"):
        Image.from_pixels(pixels)


def test_transparency_is_laid_on_white_and_not_on_the_hidden_colour():
    assert Image.from_pil(PILImage.new("RGBA", (2, 2), (255, 0, 0, 0))).pixels().min() == 255


def test_anonymous_copy_says_nothing_of_its_origin_at_any_depth():
    image = Image.from_pixels(np.zeros((2, 2, 3), np.uint8), "secret", file="secret.png")
    anonymous = image.masked(np.ones((2, 2), np.bool_)).anonymous()
    assert "secret" not in anonymous.model_dump_json()
    assert np.array_equal(anonymous.pixels(), image.pixels())


def test_message_text_names_images_by_title():
    assert Message.of("user", "look", _image(title="a dog")).text == "look\n[image: a dog]"


def test_unknown_price_is_never_shown_as_nothing():
    unknown, paid = Usage(input_tokens=3, unpriced_tokens=3), Usage(cost=1.5)
    assert [usage.price for usage in (Usage(), paid, unknown, unknown + paid)] == [
        "$0.00",
        "$1.50",
        "unknown",
        "over $1.50",
    ]
