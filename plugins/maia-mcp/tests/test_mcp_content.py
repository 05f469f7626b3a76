"""What a result holds: text first, images within the limits of every host."""

import base64
import io
import weakref

import numpy as np
import pytest
from mcp.types import ImageContent, ResourceLink, TextContent
from PIL import Image as PILImage

from maia_core.plugin import Image, ImagePart, TextPart
from maia_core.testing import photograph
from maia_mcp.content import MAX_SIDE, MAX_TEXT, MAX_TOKENS, content, tokens


def _photographs(count, size=540):
    return [photograph(seed, size).retitled(f"photograph {seed}") for seed in range(count)]


def _noise(count, size=540):
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    return [Image.from_pixels(each) for each in pixels]


def _lay_out(images, text="Printed:\nx", how="inline"):
    parts = [TextPart(text=text), *(ImagePart(image=image) for image in images), TextPart(text="(turn 1 of 30)")]
    return content(parts, lambda image: 1.25, how, "run")


def _opened(block):
    return PILImage.open(io.BytesIO(base64.b64decode(block.data)))


@pytest.mark.parametrize("make", [_photographs, _noise])
@pytest.mark.parametrize("count", [0, 1, 8, 10, 70])
@pytest.mark.parametrize("text", ["short", "x" * 100_000])
def test_a_result_fits_every_host(make, count, text):
    first, *pictures = _lay_out(make(count), text)
    assert isinstance(first, TextContent)
    assert all(isinstance(block, ImageContent) for block in pictures)
    assert len(pictures) <= 8
    assert tokens([first, *pictures]) < MAX_TOKENS
    assert bool(pictures) == bool(count)
    for block in pictures:
        image = _opened(block)
        assert image.format == "JPEG"
        assert max(image.size) <= MAX_SIDE


def test_text_names_each_image_with_its_activation():
    images = _photographs(2)
    first, *_ = _lay_out(images)
    for image in images:
        assert f"[image {image.id[:12]}: {image.title}, activation 1.25]" in first.text


def test_long_text_is_cut_and_says_so():
    first, *_ = _lay_out([], "ä" * 100_000)
    assert len(first.text.encode()) < MAX_TEXT + 200
    assert "more characters; the record has all of them" in first.text


def test_ten_images_share_a_sheet_that_shows_each():
    colours = [(25 * n, 0, 255 - 25 * n) for n in range(10)]
    images = [Image.from_pixels(np.full((64, 64, 3), colour, np.uint8)) for colour in colours]
    _, sheet = _lay_out(images)
    pixels = np.asarray(_opened(sheet), np.int32).reshape(-1, 3)
    for colour in colours:
        assert (np.abs(pixels - colour).max(axis=1) < 40).sum() > 500


def test_links_instead_of_pixels():
    images = _photographs(10)
    _, *links = _lay_out(images, how="link")
    assert all(isinstance(link, ResourceLink) for link in links)
    assert [str(link.uri) for link in links] == [f"maia://run/images/{image.id[:12]}" for image in images]


def test_an_image_that_is_shown_twice_is_sent_once():
    image = _photographs(1)[0]
    assert len(_lay_out([image, image])) == 2


@pytest.mark.parametrize("title", ["x" * 5000, "two\nlines"])
def test_many_links_stay_below_the_limit(title):
    images = [Image.from_pixels(np.full((8, 8, 3), (n % 200, n // 200, 0), np.uint8), title=title) for n in range(600)]
    first, *links = _lay_out(images, how="link")
    assert tokens([first, *links]) < MAX_TOKENS
    assert len(links) > 40
    assert all(len(link.name) <= 80 and "\n" not in link.name for link in links)
    assert f"{600 - len(links)} links are left out" in first.text


def test_large_images_are_in_memory_one_at_a_time(monkeypatch):
    alive, most = [], []
    opened = Image.pil

    def counted(image):
        picture = opened(image)
        alive.append(weakref.ref(picture))
        most.append(sum(ref() is not None for ref in alive))
        return picture

    monkeypatch.setattr(Image, "pil", counted)
    _lay_out(_photographs(12))
    assert len(most) == 12
    assert max(most) <= 2
