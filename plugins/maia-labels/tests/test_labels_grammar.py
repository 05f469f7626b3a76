from __future__ import annotations

from pathlib import Path

import pytest

from maia_core.errors import UsageError
from maia_labels import any_of, concepts, holds, parse, text_of
from maia_labels.pictured import pictured


@pytest.mark.parametrize(
    ("text", "there", "expected"),
    [
        ("tiger OR snow", {"snow"}, True),
        ("tiger OR snow", {"grass"}, False),
        ("dog | leash", {"dog", "leash"}, True),
        ("dog | leash", {"dog"}, False),
        ("dog given leash", {"leash"}, False),
        ("dog BUT NOT leash", {"dog"}, True),
        ("dog AND NOT leash", {"dog", "leash"}, False),
        ("NOT (dog OR cat)", {"cat"}, False),
        ("NOT (dog OR cat)", set(), True),
        ("(dog OR cat) AND snow | night", {"cat", "snow", "night"}, True),
        ("(dog OR cat) AND snow | night", {"cat", "snow"}, False),
    ],
)
def test_a_label_holds_where_its_concepts_are(text: str, there: set[str], expected: bool) -> None:
    assert holds(parse(text), there.__contains__) is expected


@pytest.mark.parametrize(
    "text", ["dog | leash", "tiger OR snow OR car", "(a OR b) AND NOT c", '"salt and pepper" OR d']
)
def test_a_label_reads_back_as_it_is_written(text: str) -> None:
    assert text_of(parse(text)) == text


def test_joined_texts_read_as_alternatives() -> None:
    assert concepts(parse(any_of(["red fruit", "fire truck"]))) == ["red fruit", "fire truck"]


def test_a_named_pack_that_nobody_can_open_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_labels.pictured.entry_points", lambda group: [])
    assert pictured("", tmp_path) is None
    with pytest.raises(UsageError, match="install maia-collage"):
        pictured("photographs", tmp_path)
