import io

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageOps

from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.types import Message, Usage, Verdict


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


def test_an_image_that_does_not_activate_the_unit_is_not_darkened():
    """All dark, nobody sees what the unit does not respond to."""
    masked = _image().masked(np.zeros((4, 6), np.bool_))
    assert masked.pixels().min() == 200
    assert not masked.mask().any()


def test_mask_of_another_shape_is_refused():
    with pytest.raises(UsageError, match="mask"):
        _image().masked(np.ones((6, 4), np.bool_))


@pytest.mark.parametrize("pixels", [np.zeros((4, 6), np.uint8), np.zeros((4, 6, 4), np.uint8), np.zeros((4, 6, 3))])
def test_arrays_that_are_no_rgb_image_are_refused(pixels):
    with pytest.raises(UsageError, match="uint8"):
        Image.from_pixels(pixels)


def test_transparency_is_laid_on_white_and_not_on_the_hidden_colour():
    assert Image.from_pil(PILImage.new("RGBA", (2, 2), (255, 0, 0, 0))).pixels().min() == 255


RAMP = np.tile(np.arange(256, dtype=np.uint8), (4, 1))


def _ramps() -> dict[str, PILImage.Image]:
    deep, black = RAMP.astype(np.uint16) * 257, PILImage.new("L", (256, 4))
    clear = PILImage.merge("LA", [black, PILImage.fromarray(255 - RAMP)])
    return {
        "16 bits": PILImage.fromarray(deep),
        "16 bits, the other byte order": PILImage.frombytes("I;16B", (256, 4), deep.astype(">u2").tobytes()),
        "I of 16 bits": PILImage.fromarray(deep.astype(np.int32)),
        "I of 8 bits": PILImage.fromarray(RAMP.astype(np.int32)),
        "palette": PILImage.fromarray(RAMP).convert("P"),
        "grey with alpha": clear,
        "premultiplied grey": clear.convert("La"),
        "premultiplied colour": clear.convert("RGBA").convert("RGBa"),
        "inks": PILImage.merge("CMYK", [PILImage.fromarray(255 - RAMP)] * 3 + [black]),
    }


@pytest.mark.parametrize("picture", list(_ramps().values()), ids=list(_ramps()))
def test_picture_of_any_mode_keeps_its_look(picture):
    pixels = Image.from_pil(picture).pixels()
    assert np.abs(pixels.astype(int) - RAMP[:, :, None]).max() <= 1


@pytest.mark.parametrize("values", [np.linspace(0, 1, 64, dtype=np.float32), np.arange(64, dtype=np.int32) * 2000])
def test_pixels_without_a_known_range_are_refused(values):
    with pytest.raises(UsageError, match="no known range; scale them to 0 to 255"):
        Image.from_pil(PILImage.fromarray(values.reshape(8, 8)))


@pytest.mark.parametrize("levels", [np.uint16, np.uint8])
def test_transparent_grey_of_a_png_is_white(levels):
    """One grey that counts as transparent, of 16 bits or of 8: nothing but exactly this grey."""
    one = 257 if levels == np.uint16 else 1
    stored = io.BytesIO()
    PILImage.fromarray(np.array([[10, 20, 30]], levels) * one).save(stored, "PNG", transparency=20 * one)
    assert Image.from_pil(PILImage.open(stored)).pixels()[0, :, 0].tolist() == [10, 255, 30]


def test_photograph_in_memory_is_upright_and_turned_once():
    exif, stored = PILImage.Exif(), io.BytesIO()
    exif[0x0112] = 6
    PILImage.new("RGB", (40, 20)).save(stored, "JPEG", exif=exif)
    photograph = PILImage.open(stored)
    for picture in (photograph, ImageOps.exif_transpose(photograph)):
        assert (Image.from_pil(picture).width, Image.from_pil(picture).height) == (20, 40)


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


def test_the_line_of_a_verdict_is_one_line_where_its_summary_has_several():
    verdict = Verdict(passed=False, measured=False, summary="Nothing could be tested.\nNo image shows it.")
    assert verdict.line == "Nothing could be tested."
