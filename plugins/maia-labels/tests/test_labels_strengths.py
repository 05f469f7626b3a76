"""Models write strengths in many ways: each is read, kept from the label's text, and joined again."""

from __future__ import annotations

import pytest

from maia_labels import joined, parts_of, says_nothing, split_strength
from maia_labels.parts import alternatives, leaves


@pytest.mark.parametrize(
    ("text", "label", "word", "share"),
    [
        ("dogs (80 %)", "dogs", "", 0.8),
        ("dogs (main)", "dogs", "main", 1.0),
        ("dogs [weak].", "dogs", "weak", 0.4),
        ("dogs (weak, 30%)", "dogs", "weak", 0.3),
        ("dogs (30 percent, weak)", "dogs", "weak", 0.3),
        ("dogs: ~12.5%", "dogs", "", 0.125),
        ("dogs - 40 %", "dogs", "", 0.4),
        ("dogs (120 %)", "dogs", "", 1.2),
        ("dogs (-5 %)", "dogs", "", -0.05),
        ("(40 %)", "", "", 0.4),
    ],
)
def test_a_strength_behind_a_label_is_read(text: str, label: str, word: str, share: float) -> None:
    left, strength = split_strength(text)
    assert strength is not None
    assert (left, strength.word, strength.share) == (label, word, pytest.approx(share))


@pytest.mark.parametrize("text", ["dogs", "balls (2)", "t-shirts", "glass (half full)", "main streets", "100 % cotton"])
def test_other_words_and_numbers_are_part_of_the_label(text: str) -> None:
    assert split_strength(text) == (text, None)


def test_strengths_survive_joining_and_stay_out_of_the_concepts() -> None:
    label = joined(["tiger", "dog given snow"], [0.8, 0.2])
    assert label == "tiger OR (dog given snow) (25%)"
    assert parts_of(label).parts == ("tiger", "dog given snow")
    assert parts_of(label).strengths == (1.0, 0.25)
    assert leaves(label) == ["tiger", "dog", "snow"]
    assert alternatives(label) == [("tiger",), ("dog", "snow")]
    assert parts_of("(dogs OR cats) (40 %)").parts == ("dogs", "cats")
    assert says_nothing("images (40 %)")


def test_labels_of_one_strength_are_joined_as_plain_ones() -> None:
    assert joined(["tiger", "snow"], [0.4, 0.4]) == joined(["tiger", "snow"]) == "tiger OR snow"
    assert joined(["tiger"], [0.4]) == "tiger"


def test_a_label_that_repeats_keeps_its_greatest_strength() -> None:
    assert joined(["dog", "cat", "dog."], [1, 0.5, 0.2]) == joined(["dog.", "cat", "dog"], [0.2, 0.5, 1])
    assert joined(["dog", "cat", "dog."], [1, 0.5, 0.2]) == "dog OR cat (50%)"
