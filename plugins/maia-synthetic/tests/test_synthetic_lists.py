from __future__ import annotations

import json
from collections import Counter
from importlib import resources

import numpy as np
import pytest
from click.testing import CliRunner

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_labels.expression import Concept, Given, Or, concepts, kind
from maia_labels.vocabulary import vocabulary
from maia_synthetic.collages import presence
from maia_synthetic.command import synthetic
from maia_synthetic.draw import MIN_COLLAGES, draw
from maia_synthetic.lists import _own_file, neurons_of, resolve, shipped
from maia_synthetic.score import key


def test_the_papers_neurons_are_all_there(context: Context) -> None:
    neurons = neurons_of("paper", context)
    assert Counter(map(kind, neurons)) == {"one concept": 45, "A OR B": 24, "A given B": 19}
    assert resolve("paper/10", context) == Concept("car window")
    assert resolve("paper/46", context) == Or((Concept("animal"), Concept("door")))
    assert resolve("paper/76", context) == Given(Concept("dog"), Concept("leash"))


def test_benchmark_list_has_the_papers_proportions_and_all_levels() -> None:
    neurons = shipped("collage")
    assert len(neurons) >= 60
    share = {name: count / len(neurons) for name, count in Counter(map(kind, neurons)).items()}
    assert share == {"one concept": 0.5, "A OR B": 0.25, "A given B": 0.25}
    assert len(set(neurons)) == len(neurons)
    trees = vocabulary()
    keys = [key(text) for neuron in neurons for text in concepts(neuron)]
    assert all(k.tree in ("things", "backgrounds") for k in keys)
    depths = {len(trees.concepts.path(k.name)) for k in keys if k.tree == "things" and k.name}
    assert depths >= {1, 2, 3}, "animal, mammal, cat family"
    assert any(k.colours for k in keys)
    assert any(k.tree == "backgrounds" for k in keys)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("papr/3", "no list of synthetic neurons 'papr'. Did you mean 'paper'"),
        ("paper/0", "paper/1 to paper/88, not paper/0"),
        ("paper/89", "paper/1 to paper/88, not paper/89"),
        ("paper@3/1", "no list of synthetic neurons 'paper@3'"),
        ("collage/x", "malformed expression"),
        ("collage@x/1", "the seed of a list is a number of at most 9 digits, as in collage@7, not 'x'"),
        ("collage@/1", "the seed of a list is a number"),
        ("collage@1234567890/1", "the seed of a list is a number"),
    ],
)
def test_place_that_does_not_exist_is_refused(ref: str, message: str, context: Context) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(ref, context)
    assert message in str(caught.value)


@pytest.mark.slow
def test_pack_that_holds_too_little_for_a_list_is_said(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_synthetic.draw.ONE", 1000)
    with pytest.raises(UsageError, match="too few different concepts"):
        draw(1, context)


@pytest.mark.pack
@pytest.mark.slow
def test_lists_are_drawn_by_their_rules(laboratory: Context) -> None:
    dataset = laboratory.build("dataset", "collage")
    at: dict[str, np.ndarray] = {}
    for seed in (0, 7):
        listed = draw(seed, laboratory)
        pairs = listed["polysemantic_or"] + listed["conditional_a_given_b"]
        for text in {*listed["monosemantic"], *(text for pair in pairs for text in pair)}:
            at[text] = presence(dataset, text) > 0
            assert MIN_COLLAGES <= at[text].sum() <= len(dataset) - MIN_COLLAGES
        for a, b in pairs:
            assert min((at[a] & ~at[b]).sum(), (at[b] & ~at[a]).sum()) >= MIN_COLLAGES
        for a, b in listed["conditional_a_given_b"]:
            assert (at[a] & at[b]).sum() >= MIN_COLLAGES
            assert not key(a).colours
            assert not key(b).colours
        assert len({frozenset(pair) for pair in listed["polysemantic_or"]}) == 16
    assert draw(7, laboratory) == draw(7, laboratory)
    assert draw(7, laboratory) != draw(8, laboratory)


@pytest.mark.pack
@pytest.mark.slow
def test_data_file_is_the_list_of_seed_0(laboratory: Context) -> None:
    text = resources.files("maia_synthetic").joinpath("data", "collage.json").read_text(encoding="utf-8")
    if json.loads(text)["dataset"] != laboratory.build("dataset", "collage").fingerprint:
        pytest.skip("the pack of photographs is not the one that the list was drawn with")
    assert CliRunner().invoke(synthetic, ["draw", "--seed", "0"]).output == text
    assert neurons_of("collage@0", laboratory) == shipped("collage")


def test_command_lists_neurons_and_hides_them_in_references() -> None:
    listed = CliRunner().invoke(synthetic, ["list"])
    assert listed.exit_code == 0
    lines = listed.output.splitlines()
    assert len(lines) == len(shipped("collage"))
    assert lines[0].split()[0] == "collage/1"
    refs = CliRunner().invoke(synthetic, ["list", "paper", "--refs"]).output.split()
    assert refs[:2] == ["synthetic:paper/1", "synthetic:paper/2"]
    assert len(refs) == 88
    rows = [json.loads(line) for line in CliRunner().invoke(synthetic, ["list", "paper", "--json"]).output.splitlines()]
    assert rows[75] == {"neuron": "paper/76", "kind": "A given B", "responds to": "dog | leash"}


def test_an_unknown_key_of_the_authors_list_is_named(tmp_path):
    path = tmp_path / "paper-code.json"
    path.write_text('{"monosemantic": ["dog"], "polysemantic": [], "conditional_a_given_b": []}')
    with pytest.raises(UsageError, match=r"unknown key 'polysemantic'. Did you mean 'polysemantic_or'"):
        _own_file(path)
