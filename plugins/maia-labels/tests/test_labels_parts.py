"""Labels come from models in any form: what each is made of."""

from __future__ import annotations

import pytest

from maia_labels import Parts, joined, parts_of, says_nothing
from maia_labels.parts import MAX_LABEL, alternatives, leaves


@pytest.mark.parametrize(
    ("label", "form", "parts"),
    [
        ("tiger", "one", ["tiger"]),
        ("tiger OR snow", "either", ["tiger", "snow"]),
        ("cats, dogs or birds", "either", ["cats, dogs", "birds"]),
        ("dog | snow", "given", ["dog", "snow"]),
        ("dog given snow", "given", ["dog", "snow"]),
        ("dog OR cat | snow", "given", ["dog OR cat", "snow"]),
        ("tiger OR (dog | snow)", "either", ["tiger", "dog | snow"]),
        ("dogs in the presence of snow", "given", ["dogs", "snow"]),
        ("tiger AND grass", "both", ["tiger", "grass"]),
        ("dogs with snow", "both", ["dogs", "snow"]),
        ("cats and dogs", "both", ["cats", "dogs"]),
        ("tiger on grass", "one", ["tiger on grass"]),
        ("(tiger)", "one", ["tiger"]),
        ('"red things".', "one", ["red things"]),
        ("oranges", "one", ["oranges"]),
        ("forgiven sinners", "one", ["forgiven sinners"]),
        ("corridor", "one", ["corridor"]),
        ("", "one", [""]),
    ],
)
def test_a_label_is_taken_apart_at_its_outermost_operator(label: str, form: str, parts: list[str]) -> None:
    assert parts_of(label) == Parts(form, tuple(parts))  # type: ignore[arg-type]


@pytest.mark.parametrize("label", ["dog with long ears", "black and white stripes", "a red and blue ball", "bow ties"])
def test_and_within_one_concept_does_not_part_it(label: str) -> None:
    assert parts_of(label).form == "one"


def test_but_not_is_one_concept_that_leaves_something_out() -> None:
    assert parts_of("mammal but not dog") == parts_of("mammal AND NOT dog") == Parts("one", ("mammal without dog",))


def test_labels_are_joined_so_that_they_come_apart_again() -> None:
    label = joined(["tiger", "dog given snow", "tiger", " "])
    assert label == "tiger OR (dog given snow)"
    assert parts_of(label).parts == ("tiger", "dog given snow")
    assert leaves(label) == ["tiger", "dog", "snow"]
    assert joined([]) == ""


def test_a_condition_on_either_is_a_condition_on_each() -> None:
    assert alternatives("(cat OR dog) given snow") == [("cat", "snow"), ("dog", "snow")]


@pytest.mark.parametrize("label", ["images", "", "various objects", "Pictures of things.", "anything OR everything"])
def test_labels_that_say_nothing_are_known(label: str) -> None:
    assert says_nothing(label)


@pytest.mark.parametrize("label", ["red things", "images of dogs", "tiger", "42"])
def test_labels_that_say_something_are_known(label: str) -> None:
    assert not says_nothing(label)


@pytest.mark.parametrize(
    "label", ["((((", "))|((", "| |", "OR OR OR", "\x00\ud800\n\u202e", "a" * 10_000, "(a OR b) AND " * 40, "(" * 5000]
)
def test_hostile_labels_are_read_as_something_short(label: str) -> None:
    assert all(len(leaf) <= MAX_LABEL for leaf in leaves(label))
    assert len(alternatives(label)) <= 32
    "".join(leaves(label)).encode()
