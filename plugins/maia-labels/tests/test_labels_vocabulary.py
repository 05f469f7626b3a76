from __future__ import annotations

import json
from importlib import resources
from typing import Any

from maia_labels.colours import COLOURS, NAMES, base
from maia_labels.vocabulary import vocabulary


def data(name: str) -> Any:
    return json.loads(resources.files("maia_labels").joinpath("data", f"{name}.json").read_text(encoding="utf-8"))


def test_every_concept_of_the_data_files_is_in_the_tree() -> None:
    words = vocabulary()
    for concept in [*data("names"), *data("synonyms")]:
        assert concept in words.concepts, concept
    backgrounds = data("backgrounds")
    for kind in [*backgrounds["names"], *backgrounds["stand-ins"], *backgrounds["colours"]]:
        assert kind in words.kinds, kind


def test_every_colour_word_stands_for_a_basic_colour() -> None:
    assert {base(colour) for colour in NAMES.values()} == set(COLOURS)


def test_no_name_means_two_things() -> None:
    seen: dict[str, str] = {}
    for name in ("names", "synonyms"):
        for concept, phrases in data(name).items():
            for phrase in phrases:
                assert seen.setdefault(phrase, concept) == concept, phrase
                assert phrase not in vocabulary().concepts or phrase == concept, phrase
