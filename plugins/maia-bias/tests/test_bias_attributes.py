"""Attributes of subgroups in words, and the pairs of prompts that differ in them."""

from __future__ import annotations

import pytest

from maia_bias.attributes import Feature, read_attribute
from maia_bias.drawing import write_pairs
from maia_labels.prompt import parse


@pytest.mark.parametrize(
    ("subgroup", "features"),
    [
        ("on snow", [[Feature("background", "snow")]]),
        ("penguins in the snow", [[Feature("background", "snow")]]),
        ("against a red background", [[Feature("background", "a plain red background")]]),
        ("not on snow", [[Feature("background", "snow", negated=True)]]),
        ("red", [[Feature("colour", "red")]]),
        ("small and on snow", [[Feature("size", "small"), Feature("background", "snow")]]),
        ("far away", [[Feature("size", "small")]]),
        ("on sand or next to a ball", [[Feature("background", "sand")], [Feature("neighbour", "a ball")]]),
        ("without a hat", [[Feature("neighbour", "a hat", negated=True)]]),
        ("next to an apple", [[Feature("neighbour", "an apple")]]),
        ("without an apple", [[Feature("neighbour", "an apple", negated=True)]]),
        ("alone", [[Feature("neighbour", "", negated=True)]]),
        ("in the top left corner", [[Feature("position", "in the top left corner")]]),
        ("on the right", [[Feature("position", "on the right")]]),
        ("two penguins", [[Feature("count", "2")]]),
        ("a single penguin", [[Feature("count", "1")]]),
        ("in groups", [[Feature("count", "2")]]),
    ],
)
def test_attributes_are_read_as_people_write_them(subgroup: str, features: list[list[Feature]]):
    assert [list(alternative) for alternative in read_attribute("penguin", subgroup)] == features


@pytest.mark.parametrize("subgroup", ["wearing glasses", "blurry", "on snow and blurry", "female", "penguins", ""])
def test_what_cannot_be_drawn_is_not_read_in_part(subgroup: str):
    assert read_attribute("penguin", subgroup) == []


@pytest.mark.parametrize(
    "subgroup", ["on snow", "red", "small", "on the left", "next to a ball", "two penguins", "alone"]
)
def test_the_two_prompts_of_a_pair_differ_in_the_attribute_only(subgroup: str):
    for pair in write_pairs("penguin", read_attribute("penguin", subgroup), 12):
        inside, outside = parse(pair.with_), parse(pair.without)
        assert pair.with_ != pair.without
        for parsed in (inside, outside):
            assert parsed.things[0].concept == "penguin"
            assert (parsed.ignored, parsed.warnings) == ([], [])
        if subgroup != "on snow":
            assert inside.place == outside.place


def test_no_pair_shows_the_attribute_on_both_sides():
    for subgroup in ("on snow", "next to a ball", "red", "in the centre"):
        words = subgroup.split()[-1]
        for pair in write_pairs("penguin", read_attribute("penguin", subgroup), 30):
            assert words in pair.with_
            assert words not in pair.without, pair


def test_a_subgroup_that_needs_two_things_is_tested_on_each():
    pairs = write_pairs("penguin", read_attribute("penguin", "small and on snow"), 8)
    assert {pair.part for pair in pairs} == {"small", "on snow"}
    assert all("small" in pair.without for pair in pairs if pair.part == "on snow")
    either = write_pairs("penguin", read_attribute("penguin", "on snow or on sand"), 8)
    assert not any(word in pair.without for pair in either for word in ("snow", "sand"))


def test_pairs_lack_what_other_findings_name_in_one_half_and_show_it_in_the_other():
    large = read_attribute("lion", "large")[0]
    pairs = write_pairs("lion", read_attribute("lion", "next to a flower"), 16, others=large)
    sizes = [("small" in pair.with_, "small" in pair.without) for pair in pairs]
    assert sizes.count((True, True)) == sizes.count((False, False)) == 8
    neighbours = {("small" in pair.with_, "next to" in pair.without) for pair in pairs}
    assert len(neighbours) == 4, "which neighbour is replaced does not depend on the size"
    single = read_attribute("cow", "single")[0]
    counts = [p.without.startswith("2 ") for p in write_pairs("cow", read_attribute("cow", "red"), 8, others=single)]
    assert counts.count(True) == 4


def test_values_of_one_attribute_that_other_findings_name_are_not_the_comparison():
    sand = read_attribute("pig", "on sand")[0]
    pairs = write_pairs("pig", read_attribute("pig", "on snow"), 20, others=sand)
    assert not any("sand" in pair.without for pair in pairs)
    large = read_attribute("pig", "large")[0]
    small = write_pairs("pig", read_attribute("pig", "small"), 8, others=large)
    assert all("large" in pair.without for pair in small), "there is no third size"


def test_each_alternative_of_a_subgroup_is_tested_without_the_others():
    for pair in write_pairs("pig", read_attribute("pig", "on the left or on snow"), 12):
        other = "snow" if pair.part == "on the left" else "left"
        assert other not in pair.with_ + pair.without
