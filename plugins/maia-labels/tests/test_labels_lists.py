import pytest

from maia_labels import listed


@pytest.mark.parametrize(
    ("label", "labels"),
    [
        ("huskies, ducks, tanks, crows", ["huskies", "ducks", "tanks", "crows"]),
        ("tiger, lion and snow", ["tiger", "lion", "snow"]),
        ("wheels, tires, or rims", ["wheels", "tires", "rims"]),
        ("a dog, a cat", ["a dog", "a cat"]),
        ("dogs (80 %), cats (weak)", ["dogs (80 %)", "cats (weak)"]),
        ("cars; trucks", ["cars", "trucks"]),
        ("race cars, Saturn", ["race cars", "Saturn"]),
        ("grass, trees", ["grass", "trees"]),
    ],
)
def test_a_comma_list_is_several_labels(label, labels):
    assert listed(label) == labels


@pytest.mark.parametrize(
    "label",
    [
        "dogs",
        "small, round fruit",
        "red, white objects",
        "striped, furry animals",
        "a slender-muzzled, large-eared mammal",
        "fluffy, white dogs",
        "snow, 40 %",
        "dogs (main, 80 %)",
        "black and white stripes",
        "snow given dogs, cats",
        "red fruit on plates",
        "",
    ],
)
def test_commas_between_adjectives_and_before_a_strength_make_no_list(label):
    assert listed(label) == [label]


def test_a_comma_that_may_mean_either_is_not_guessed():
    assert listed("zorgon, blick") is None
