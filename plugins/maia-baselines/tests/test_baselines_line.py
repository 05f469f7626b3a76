"""LINE: proposes, draws, measures, and refines by the history of activations; offline and with a language model."""

from __future__ import annotations

import numpy as np
import pytest

from maia_baselines.line import Line, select
from maia_baselines.proposals import BackboneProposer, VocabularyProposer, described_concepts
from maia_core.errors import UsageError
from maia_core.testing import FakeSystem, ScriptedBackbone

NEAREST = [
    "tiger (0.93), lion (0.05); kind: cat family (0.99), mammal (0.99); colours: orange; on: grass, green",
    "tiger (0.61), leopard (0.30); kind: cat family (0.98); on: snow, white; region: 20% of the image, left",
    "nothing stands out; on: grass, green",
]


def explain(context, unit, **options):
    return Line(Line.Config(**options), context).explain(unit, context)


def test_it_finds_the_concept_of_a_unit_and_says_how_strongly_it_drives_it(world):
    unit = FakeSystem(FakeSystem.Config(ref="blue"))
    explanation = explain(world(unit), unit)
    assert "blue" in explanation.labels[0]
    assert explanation.strengths[0] > 0.5
    assert len(explanation.labels) == len(explanation.strengths)
    assert explanation.evidence[0].expected == "high"
    assert explanation.details["proposer"] == "VocabularyProposer"
    assert explain(world(unit), unit, strengths=False).strengths == ()


def test_a_weaker_second_concept_is_a_label_with_its_share(world, mixed):
    unit = mixed({"red": 1.0, "green": 0.6})
    context = world(unit, backbone="scripted")
    context._parts["backbone/scripted/[]"] = ScriptedBackbone(["a green disc\na red disc\na blue disc"] * 2)
    explanation = explain(context, unit, rounds=1)
    assert explanation.labels == ("red disc",), "one of two that share a word"
    context._parts["backbone/scripted/[]"] = ScriptedBackbone(["green\nred\nblue"])
    explanation = explain(context, unit, rounds=1)
    assert explanation.labels == ("red", "green")
    assert 0.3 < explanation.strengths[1] < explanation.strengths[0]
    assert "also green" in explanation.sentence


def test_the_description_names_the_concept_that_activates_the_unit_most(world, mixed, monkeypatch):
    """The first label may be a broader concept, which activates the unit a little less."""
    unit = mixed({"red": 1.0, "green": 0.98})
    context = world(unit, backbone="scripted")
    context._parts["backbone/scripted/[]"] = ScriptedBackbone(["green\nred\nblue"])
    monkeypatch.setattr("maia_baselines.line._broader", lambda concept: ["green"] if concept == "red" else [])
    explanation = explain(context, unit, rounds=1)
    assert explanation.labels == ("green",)
    mean = np.mean(explanation.evidence[0].activations)
    assert "'red' activates the unit most: " in explanation.description
    assert f", 'green' {mean:.3g}, the " in explanation.description


def test_a_language_model_is_guided_by_the_history_and_never_sees_names(world, model):
    unit = model.unit("colours:red")
    replies = [
        "Here are some ideas:\n1. a green disc\n- **blue disc**\n",
        "a red disc\nGreen disc\n" + "very " * 40,
        "",
    ]
    backbone = ScriptedBackbone(replies)
    context = world(unit, backbone="scripted")
    context._parts["backbone/scripted/[]"] = backbone
    explanation = explain(context, unit, rounds=3)
    assert explanation.labels == ("red disc",)
    first, second, third = (messages[-1].text for messages in backbone.seen)
    assert "measured so far" not in first
    assert "0.00 green disc" in second
    assert third.index("red disc") < third.index("green disc"), "the best first"
    sent = "\n".join((first, second, third))
    assert not any(name in sent for name in (unit.info.model, unit.info.ref, "colours:"))
    assert [len(each) for each in explanation.details["rounds"]] == [2, 1]
    assert context.spent.tokens > 0


def test_a_concept_that_the_generator_cannot_show_is_left_out_and_not_proposed_again(world):
    unit = FakeSystem(FakeSystem.Config(ref="red"))
    context = world(unit, backbone="scripted")
    context._parts["backbone/scripted/[]"] = ScriptedBackbone(["zorgon", "Zorgon\nred"])
    explanation = explain(context, unit, rounds=2)
    assert explanation.labels == ("red",)
    assert explanation.details["not drawn"] == ["zorgon"]
    context._parts["backbone/scripted/[]"] = ScriptedBackbone(["zorgon"])
    with pytest.raises(UsageError, match="cannot draw any of 1 proposed concepts, such as 'zorgon'"):
        explain(context, unit, rounds=1)


def test_a_backbone_that_writes_programs_only_cannot_propose(world):
    unit = FakeSystem(FakeSystem.Config(ref="red"))
    with pytest.raises(UsageError, match="'heuristic' proposes no concepts; choose a language model"):
        explain(world(unit), unit, proposer="backbone")


def test_a_unit_that_is_never_active_has_no_label(world, mixed):
    assert explain(world(), mixed({})).labels == ()


def test_descriptions_give_things_colours_and_surroundings_by_their_number():
    things, colours, places = described_concepts(NEAREST)
    assert things[:2] == ["tiger", "cat family"]
    assert "lion" not in things, "the describer is not sure of it"
    assert set(colours) == {"orange", "green", "white"}
    assert places == ["grass", "snow"]


def test_the_vocabulary_varies_the_best_concept():
    proposer = VocabularyProposer(NEAREST, seed=0)
    first = proposer.propose({}, 30)
    assert {"tiger", "orange things", "grass"} <= set(first)
    second = proposer.propose(dict.fromkeys(first, 0.1) | {"tiger": 0.9}, 40)
    assert "tiger on snow" in second
    assert "orange tiger" in second
    assert not set(first) & set(second)
    assert VocabularyProposer(NEAREST, seed=0).propose({}, 30) == first


def test_an_empty_reply_ends_the_rounds(world):
    backbone = BackboneProposer(ScriptedBackbone(["\n"]), NEAREST, world())
    assert backbone.propose({}, 5) == []


@pytest.mark.parametrize(
    ("means", "labels"),
    [
        ({"tiger": 10.0, "lion": 9.5, "mammal": 9.0, "car": 0.1}, ["mammal"]),
        ({"tiger": 10.0, "mammal": 4.0, "snow": 6.0}, ["tiger", "snow"]),
        ({"snow": 6.0, "snow on grass": 5.9, "car": 2.0}, ["snow"]),
        ({"cup": -2.0}, ["cup"]),
        ({"wolf": 1.0, "animal": 0.86, "zebra crossing": 0.95}, ["zebra crossing", "animal"]),
    ],
)
def test_labels_are_the_best_and_unrelated_concepts_that_come_near(means, labels):
    assert list(select(means, 3)) == labels
