"""Images of a conversation within a model's limits."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.errors import BackboneError
from maia_core.image import Image
from maia_core.testing import disc, photograph
from maia_core.types import Message
from maia_vlm import ImageLimits, Picture, pack


def noise(side: int, seed: int = 0) -> Image:
    return Image.from_pixels(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def pictures(packed) -> list[Picture]:
    return [part for message in packed for part in message.parts if isinstance(part, Picture)]


def test_pixels_arrive_unchanged_where_nothing_is_limited():
    image = disc("red").masked(disc("red").pixels()[:, :, 0] > 200)
    [message] = pack([Message.of("user", "before", image, "after")], ImageLimits())
    before, picture, after = message.parts
    assert (before, after, message.role) == ("before", "after", "user")
    assert np.array_equal(np.asarray(picture.pil()), image.pixels()), "a masked image is sent darkened"
    assert picture.data_uri.startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("shape", "limits", "size", "said"),
    [
        ((400, 200), ImageLimits(max_side=100), (50, 100), "200 x 400 to 50 x 100"),
        ((1, 300), ImageLimits(min_side=28), (300, 28), "padded"),
        ((1, 9000), ImageLimits(max_side=1000, min_side=28), (1000, 28), "padded"),
    ],
)
def test_size_is_brought_within_the_limits_with_a_note(shape, limits, size, said):
    image = Image.from_pixels(np.full((*shape, 3), 9, np.uint8))
    [message] = pack([Message.of("user", image)], limits)
    note, picture = message.parts
    assert (picture.width, picture.height) == size == picture.pil().size
    assert said in note


def test_bytes_are_brought_within_the_limits_with_a_note():
    images = [noise(256, seed) for seed in range(4)]
    [message] = pack([Message.of("user", *images)], ImageLimits(max_bytes=90_000, total_bytes=100_000))
    sent = pictures([message])
    assert sum(len(picture.data) for picture in sent) <= 100_000
    for picture in sent:
        assert PILImage.open(io.BytesIO(picture.data)).format == "JPEG"
        assert picture.media_type == "image/jpeg"
    assert sum("compressed" in part for part in message.parts if isinstance(part, str)) == 4


def test_more_images_than_allowed_are_tiled_and_every_one_is_there():
    colours = [(20 * n, 255 - 20 * n, 90) for n in range(11)]
    images = [Image.from_pixels(np.full((64, 48, 3), colour, np.uint8)) for colour in colours]
    messages = [Message.of("user", "first", *images[:5]), Message.of("user", "second", *images[5:])]
    packed = pack(messages, ImageLimits(count=3, max_side=512))
    sheets = pictures(packed)
    assert len(sheets) == 2, "a sheet ends with its message"
    for number, colour in enumerate(colours):
        sheet, tile = divmod(number, 5) if number < 10 else (1, 5)
        pixels = np.asarray(sheets[sheet].pil()).reshape(-1, 3)
        assert (pixels == colour).all(axis=1).sum() > 5000, f"image {number} is not on its sheet"
        assert f"tile {tile + 1} of sheet {sheet + 1}" in packed[sheet].text


SMALL = ImageLimits(count=20, min_side=32, max_side=256, total_bytes=600_000)
"""As of a server that nothing is known of, for small images."""


@pytest.mark.parametrize(
    ("counts", "limits"),
    [
        ([15, 10, 10, 10, 10, 5], SMALL),
        ([15, 10, 10, 10, 10, 5], ImageLimits(total_bytes=2_000_000)),
        ([5] * 12, SMALL),
        ([3] * 20, SMALL),
        ([15, 7, 1, 4, 9, 0, 2, 12, 10], SMALL),
        ([15, 10, 10, 10, 10, 5], ImageLimits(count=8)),
        ([15, 10, 10, 10, 10, 5], ImageLimits(count=50)),
    ],
)
def test_what_was_sent_before_is_packed_alike_when_more_follows(counts, limits):
    """A provider's prompt cache holds as long as the beginning of the conversation is the same."""
    images = (photograph(seed, 128) for seed in itertools.count())
    messages, before = [], []
    for count in counts:
        messages.append(Message.of("user", f"{count} images", *itertools.islice(images, count)))
        packed = pack(messages, limits, most=60)
        assert packed[: len(before)] == before
        assert len(pictures(packed)) <= (limits.count or 60)
        assert sum(len(picture.data) for picture in pictures(packed)) <= (limits.total_bytes or 10**9)
        before = packed
    assert before == pack(messages, limits), "and what is full is packed alike in any case"


@pytest.mark.parametrize("each", [1, 2])
def test_many_messages_with_few_images_fit_and_seldom_change(each):
    """More messages with images than pictures are allowed: some share a sheet, many at a time."""
    messages, before, changes = [], [], 0
    for turn in range(60 // each):
        messages.append(Message.of("user", *(noise(16, turn * each + n) for n in range(each))))
        packed = pack(messages, ImageLimits(count=20, max_side=256), most=60)
        assert len(pictures(packed)) <= 20
        tiles = " ".join(message.text for message in packed).count("this image is tile")
        sheets = " ".join(message.text for message in packed).count("side by side")
        assert tiles + len(pictures(packed)) - sheets == len(messages) * each, "every image is there"
        changes += packed[:-1] != before
        before = packed
    assert changes <= 8


def test_more_images_than_sheets_hold_name_the_setting():
    with pytest.raises(BackboneError, match=r"context_policy\.images=32"):
        pack([Message.of("user", *(noise(8, seed) for seed in range(33)))], ImageLimits(count=2))


def test_an_image_is_encoded_once():
    message = Message.of("user", noise(64))
    assert pictures(pack([message], ImageLimits()))[0] is pictures(pack([message, message], ImageLimits()))[1]
