"""Scores of texts on images of the small world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from maia_core.context import Context
from maia_core.image import Image
from maia_core.protocols import ImageTextSimilarity
from maia_nearest.phrases import Joined, Not, Phrase, Reader
from maia_nearest.similarity import NearestSimilarity


class Parts:
    """What the tests look at: the similarity, its model's calls, and its warnings."""

    def __init__(self, model: object, cache: Path, parts: dict[str, object]) -> None:
        self.model = model
        self.warnings: list[str] = []
        context = Context(parts=parts, cache=cache)
        context.warn = self.warnings.append
        options = {"model": "colours", "library": "discs", "backgrounds": "grounds"}
        self.similarity = NearestSimilarity(NearestSimilarity.Config(**options), context)

    def __call__(self, images: list[Image], *texts: str) -> NDArray[np.float32]:
        return self.similarity.similarity(images, texts)


@pytest.fixture
def score(make, model, shared_cache) -> Parts:
    describer = make()
    parts = {
        "model/colours/[]": model,
        "dataset/discs/[]": describer._library,
        "dataset/grounds/[]": describer._backgrounds,
    }
    return Parts(model, shared_cache, parts)


def test_it_is_a_similarity(score, draw):
    assert isinstance(score.similarity, ImageTextSimilarity)
    scores = score([draw("tomato"), draw("jeans")], "tomato", "jeans", "lime")
    assert scores.shape == (2, 3)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    assert score([], "tomato").shape == (0, 1)
    assert score([draw("lime")]).shape == (1, 0)


def test_scores_rest_on_what_look_returns_as_arrays(score, draw):
    images = [draw("tomato"), draw("jeans")]
    found = score.similarity.look(images)
    score.similarity.look = lambda asked: [found[images.index(image)] for image in asked][::-1]
    turned = score(images, "tomato")
    assert turned[1, 0] > turned[0, 0], "a cache in the place of `look` decides"


def test_names_and_what_is_above_them_are_told_apart(score, draw):
    scores = score([draw("tomato"), draw("jeans"), draw("lime")], "tomatoes", "jeans", "fruit", "clothing")
    assert scores[:, 0].argmax() == 0
    assert scores[:, 1].argmax() == 1
    assert scores[1, 2] < scores[[0, 2], 2].min(), "both fruits are more of a fruit than jeans are"
    assert scores[1, 3] > scores[[0, 2], 3].max()
    assert (scores[:, 2] >= scores[:, 0]).all(), "what is a tomato is at least as much a fruit"


def test_every_object_of_an_image_counts(score, draw):
    two = draw("tomato", (50, 50), 30, more=[("jeans", (115, 115), 25)])
    scores = score([two, draw("tomato"), draw("jeans")], "tomato AND jeans", "tomato OR jeans")
    assert scores[:, 0].argmax() == 0, "only one shows both"
    assert scores[:, 1].min() > scores[1:, 0].max(), "each shows one"


def test_a_mask_says_which_object_counts(score, draw):
    two = draw("tomato", (50, 50), 30, more=[("jeans", (115, 115), 25)])
    mask = np.zeros((160, 160), np.bool_)
    mask[90:140, 90:140] = True
    tomato, jeans = score([two.masked(mask)], "tomato", "jeans")[0]
    assert jeans > tomato


def test_colours_are_of_objects_or_of_what_is_around_them(score, draw):
    green_on_blue, blue_on_green = draw("lime", on=(30, 60, 200)), draw("jeans", on=(40, 160, 40))
    scores = score([green_on_blue, blue_on_green], "green things", "green background", "green", "green jeans")
    assert scores[0, 0] > 0.9 > 0.1 > scores[1, 0]
    assert scores[1, 1] > 0.9 > 0.1 > scores[0, 1]
    assert scores[:, 2].min() > 0.9
    assert scores[:, 3].max() < 0.3, "the jeans are blue, what is green is no jeans"


def test_backgrounds_are_scored_with_and_without_an_object(score, draw, meadow):
    bare = Image.from_pixels(meadow)
    scores = score([draw("tomato", on=meadow), bare, draw("tomato")], "meadow", "tomato on a meadow")
    assert scores[:2, 0].min() > 0.5 > scores[2, 0]
    assert scores[:, 1].argmax() == 0
    assert scores[0, 1] > 2 * scores[1:, 1].max()


def test_masked_surroundings_do_not_count(score, draw, meadow):
    image = draw("tomato", on=meadow)
    rows, columns = np.ogrid[:160, :160]
    disc = (rows - 80) ** 2 + (columns - 80) ** 2 < 30**2
    assert score([image.masked(disc)], "meadow")[0, 0] == 0


def test_scores_rest_neither_on_titles_nor_on_the_rest_of_the_call(score, draw):
    images = [draw("tomato"), draw("jeans"), draw("lime")]
    texts = ("tomato", "fruit given green", "blue")
    together = score(images, *texts)
    score.similarity._seen.clear()
    alone = np.stack(
        [score([image._copy(title="a blue lime", provenance={"id": "lime"})], *texts)[0] for image in images]
    )
    # Networks round a batch otherwise than a single image, on some processors.
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_an_image_is_looked_at_once(score, draw):
    images = [draw("tomato"), draw("jeans")]
    score(images, "tomato")
    calls = score.model.calls
    score(images[::-1], *(f"text {n}" for n in range(50)), "lime")
    assert score.model.calls == calls


def test_what_names_nothing_scores_nothing_and_is_said_once(score, draw):
    images = [draw("tomato")]
    assert score(images, "images", "")[0].max() == 0
    score(images, "images")
    assert sum("'images'" in line for line in score.warnings) == 1
    assert score(images, "tomato in a zeppelin")[0] == score(images, "tomato")[0], "the unknown part is left out"


READER = Reader(["tiger", "orange", "hot-air balloon", "apple", "tree", "fox", "cherry"], ["snow", "stripes", "grass"])


def thing(name: str, *colours: int) -> Phrase:
    return Phrase(READER.things.index(name), None, colours)


SNOW = Phrase(None, 0)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("Tigers", thing("tiger")),
        ("the face of a tiger", thing("tiger")),
        ("hot air balloons", thing("hot-air balloon")),
        ("apple tree", thing("tree")),
        ("cherries", thing("cherry")),
        ("foxes", thing("fox")),
        ("tigerr", thing("tiger")),
        ("snowy landscape", SNOW),
        ("striped", Phrase(None, 1)),
        ("a red apple", thing("apple", 3)),
        ("orange", thing("orange")),
        ("orange things", Phrase(colours=(4,), where="object")),
        ("gray background", Phrase(colours=(1,), where="ground")),
        ("images", None),
        ("", None),
        ("tiger OR snow", Joined("any", (thing("tiger"), SNOW))),
        ("fruit (apples, cherries)", Joined("any", (thing("apple"), thing("cherry")))),
        ("tiger given snow", Joined("all", (thing("tiger"), SNOW))),
        ("tiger on snow with fox", Joined("all", (thing("tiger"), SNOW, thing("fox")))),
        ("a tiger, on snow", Joined("all", (thing("tiger"), SNOW))),
        ("tiger without snow", Joined("all", (thing("tiger"), Not(SNOW)))),
        ("tiger in a zeppelin", thing("tiger")),
        ("apple AND tree OR snow", Joined("any", (Joined("all", (thing("apple"), thing("tree"))), SNOW))),
    ],
)
def test_texts_are_read(text, means):
    assert READER.read(text) == means


def test_scores_do_not_depend_on_how_many_images_a_call_has(score, draw):
    """Images are looked at ahead, in chunks, and the model sees the regions of a chunk at once."""
    images = [draw(name, (60 + shift, 80)) for shift in range(12) for name in ("tomato", "jeans", "lime")]
    nothing = images[4].masked(np.zeros((160, 160), np.bool_))
    images[5:5] = [nothing]
    texts = ("tomato", "fruit", "blue", "meadow")
    together = score(images, *texts)
    for index in (0, 5, 17, 31, 32, 36):
        score.similarity._seen.clear()
        assert score([images[index]], *texts)[0] == pytest.approx(together[index], abs=1e-6)
    assert together[5].max() == 0, "nothing of it is shown"
