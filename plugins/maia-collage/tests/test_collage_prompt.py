from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maia_labels.parsed import Parsed, Place, Thing
from maia_labels.prompt import parse
from maia_labels.vocabulary import plural, singulars, vocabulary


def one(prompt: str) -> Thing:
    parsed = parse(prompt)
    assert len(parsed.things) == 1, parsed
    return parsed.things[0]


@pytest.mark.parametrize(
    ("prompt", "concept", "count"),
    [
        ("a tiger on grass", "tiger", 1),
        ("tigers", "tiger", 3),
        ("three tigers", "tiger", 3),
        ("2 red apples on rocks", "apple", 2),
        ("a couple of dogs", "dog", 2),
        ("several birds", "bird", 4),
        ("a photo of a pair of scissors", "scissors", 1),
        ("a bunch of grapes", "grapes", 1),
        ("a hot-air balloon", "hot-air balloon", 1),
        ("a chimp", "chimpanzee", 1),
        ("big cats", "cat family", 3),
        ("five mice", "mouse", 5),
        ("an orange on an orange background", "orange", 1),
        ("dozens of dalmatians", "dog", 12),
        ("999 tigers", "tiger", 12),
        ("A Photograph Of A Tiger!", "tiger", 1),
    ],
)
def test_object_and_number(prompt: str, concept: str, count: int) -> None:
    thing = one(prompt)
    assert (thing.concept, thing.count) == (concept, count)


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        ("snow", Place("snow")),
        ("a tiger on grass", Place("grass")),
        ("a plain red background", Place("plain background", ("red",))),
        ("red", Place("plain background", ("red",))),
        ("red stripes", Place("stripes", ("red",))),
        ("blue and white stripes", Place("stripes", ("blue", "white"))),
        ("a pattern of blue dots", Place("dots", ("blue",))),
        ("a tiger against a light blue background", Place("plain background", ("light blue",))),
        ("a tiger in front of a brick wall", Place("brick")),
        ("a tiger with a grassy background", Place("grass")),
        ("a tiger in a snowy landscape", Place("snow")),
        ("green grass", Place("grass")),
        ("a dog under a green sky", Place("sky", ("green",))),
        ("the background is snow", Place("snow")),
        ("water with a sailboat", Place("water")),
        ("a chess board; a tiger on the beach", Place("sand")),
        ("a starry night sky", Place("night sky")),
    ],
)
def test_background(prompt: str, place: Place) -> None:
    assert parse(prompt).place == place


def test_adjectives_go_to_their_own_noun() -> None:
    car, dog = parse("a small blue car to the left of a large dog in the snow").things
    assert (car.concept, car.size, car.colours) == ("car", "small", ("blue",))
    assert (dog.concept, dog.size, dog.colours) == ("dog", "large", ())
    assert parse("a small blue car to the left of a large dog in the snow").links == [(0, "left of", 1)]


@pytest.mark.parametrize(
    ("prompt", "zones"),
    [
        ("a tiger on the left", ("left",)),
        ("on the left, a tiger", ("left",)),
        ("a tiger in the top right corner", ("top", "right")),
        ("a tiger at the bottom of the picture", ("bottom",)),
        ("a tiger in the middle", ("centre",)),
        ("a tiger to the left of the image", ("left",)),
    ],
)
def test_position(prompt: str, zones: tuple[str, ...]) -> None:
    assert one(prompt).zones == zones


@pytest.mark.parametrize(
    ("prompt", "relation"),
    [
        ("a cat above a tree", "above"),
        ("a cat on top of a car", "above"),
        ("a cat on a car", "above"),
        ("a cat below a tree", "below"),
        ("a cat next to a tree", "near"),
        ("a cat on the right of a tree", "right of"),
    ],
)
def test_relation(prompt: str, relation: str) -> None:
    assert parse(prompt).links == [(0, relation, 1)]


@pytest.mark.parametrize("prompt", ["grass without animals", "grass, no animals", "grass with no animals or birds"])
def test_what_is_denied_is_not_drawn(prompt: str) -> None:
    parsed = parse(prompt)
    assert parsed.things == []
    assert parsed.place == Place("grass")
    assert "animal" in parsed.excluded


def test_denial_ends_with_its_phrase() -> None:
    assert [t.concept for t in parse("no dogs, just a tiger and a bird").things] == ["tiger", "bird"]


@pytest.mark.parametrize("prompt", ["something red", "a red thing", "a red object"])
def test_colour_of_anything(prompt: str) -> None:
    thing = one(prompt)
    assert (thing.concept, thing.colours, thing.known) == (None, ("red",), True)


def test_colour_after_the_noun() -> None:
    assert one("a tiger that is dark blue").colours == ("dark blue",)


def test_two_backgrounds_are_said() -> None:
    parsed = parse("a tiger on grass in the snow")
    assert parsed.place == Place("grass")
    assert "snow" in parsed.warnings[0]


def test_words_without_effect_are_kept() -> None:
    assert parse("a fluffy tiger running on grass").ignored == ["running", "fluffy"]


def test_unknown_noun_is_kept_with_its_place_in_the_prompt() -> None:
    assert one("two red snarks on grass") == Thing(None, "snarks", False, 2, ("red",))
    assert parse("a tiger in a snarkery").place == Place(None, (), "snarkery", known=False)


NAMES = sorted(set(vocabulary().concepts) - {"orange", "cherry blossom"})


@given(st.sampled_from(NAMES), st.sampled_from(["grass", "snow", "sand", "brick", "calm water"]))
@settings(max_examples=200, deadline=None)
def test_every_concept_is_read_on_every_background(name: str, kind: str) -> None:
    parsed = parse(f"a photo of a {name} on {kind}")
    assert [t.concept for t in parsed.things] == [name]
    assert parsed.place == Place(kind)
    assert not parsed.ignored
    assert not parsed.warnings


@given(st.sampled_from(NAMES))
@settings(max_examples=200, deadline=None)
def test_plural_is_read_as_its_singular(name: str) -> None:
    entry = vocabulary().find(plural(name).replace("-", " "))
    assert entry is not None
    assert entry.name == name


WORDS = (
    "a the two red tiger apples dog on in of and with without no left to , . background snow stripes huge zzz is corner"
)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=14))
@settings(max_examples=300, deadline=None)
def test_any_order_of_words_is_read_to_the_end(words: list[str]) -> None:
    parsed = parse(" ".join(words))
    assert isinstance(parsed, Parsed)
    assert all(1 <= thing.count <= 12 for thing in parsed.things)
    assert all(max(a, b) < len(parsed.things) for a, _, b in parsed.links)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_to_the_end(text: str) -> None:
    parse(text)


def test_singulars_prefer_the_likely_form() -> None:
    assert singulars("berries")[0] == "berry"
    assert "box" in singulars("boxes")
    assert singulars("grass") == []


def test_broader_concept_is_a_member_by_seed(names: Callable[..., list[str]]) -> None:
    drawn = {names("an animal", seed)[0] for seed in range(40)}
    assert len(drawn) >= 4
    assert all("animal" in vocabulary().concepts.path(name) for name in drawn)
