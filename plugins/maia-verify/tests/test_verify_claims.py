"""What an answer claims, and whether a prompt names it."""

from __future__ import annotations

import pytest

from maia_core.plugin import Explanation
from maia_verify.claims import claims_of, names


@pytest.mark.parametrize(
    ("prompt", "thing"),
    [
        ("two foxes", "fox"),
        ("berries on grass", "berry"),
        ("a C++ book", "c++"),
        ("three mice", "mouse"),
        ("a fox", "foxes"),
        ("a wolf in snow", "wolves"),
        ("red foxes", "red fox"),
        ("dogs, cats", "Dog"),
    ],
)
def test_a_prompt_names_a_thing_in_the_singular_or_the_plural(prompt: str, thing: str) -> None:
    assert names(prompt, thing)


@pytest.mark.parametrize(("prompt", "thing"), [("a foxglove", "fox"), ("a carpet", "car"), ("a c book", "c++")])
def test_a_longer_word_is_another_thing(prompt: str, thing: str) -> None:
    assert not names(prompt, thing)


@pytest.mark.parametrize(
    "labels", [{"dog": 0.2, "pictures of dogs": 1.0}, {"dog": 1.0, "Dogs": 0.2}, {"dog OR cat": 0.2, "dogs": 1.0}]
)
def test_a_claim_in_two_wordings_keeps_the_greater_strength(labels: dict[str, float]) -> None:
    claims = claims_of(Explanation(description="", labels=tuple(labels), strengths=tuple(labels.values())))
    assert {claim.text: claim.strength for claim in claims.each}["dog"] == 1.0
