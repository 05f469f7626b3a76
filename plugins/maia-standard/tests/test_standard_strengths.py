"""An answer may say how strongly each label drives the unit; one that contradicts itself goes back in one sentence."""

from __future__ import annotations

import pytest

from maia_core.context import Context
from maia_core.plugin import PluginConfig, ReplyError, RunConfig, parse_reply
from maia_core.testing import fake_parts
from maia_standard.tasks import NeuronDescription, NeuronDescriptionAnswer


@pytest.fixture
def task():
    return NeuronDescription(PluginConfig(), Context(RunConfig(), parts=fake_parts()))


def _answer(task, reply):
    return task.parse(parse_reply(reply, task.tags).sections)


def test_labels_carry_their_strengths_and_a_sentence_for_people(task):
    answer = _answer(
        task,
        "[DESCRIPTION]: Heads of slender-muzzled mammals; also smooth round fruit. Foxes reach 31.4 of 40.\n"
        "[LABEL 1]: foxes (main)\n[LABEL 2]: **apples (35 %)**",
    )
    explanation = task.explanation(answer)
    assert explanation.labels == ("foxes", "apples")
    assert explanation.strengths == (1.0, 0.35)
    assert explanation.sentence == "Heads of slender-muzzled mammals; also smooth round fruit."
    assert explanation.line == "foxes OR apples (35%)"


def test_a_plain_label_still_works_and_counts_in_full_beside_a_weak_one(task):
    plain = task.explanation(_answer(task, "[DESCRIPTION]: Red things\n[LABEL]: red things"))
    assert (plain.labels, plain.strengths, plain.line) == (("red things",), (), "red things")
    mixed = task.explanation(_answer(task, "[DESCRIPTION]: x\n[LABEL 1]: dogs\n[LABEL 2]: snow (weak)"))
    assert mixed.strengths == (1.0, 0.4)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ("[LABEL 1]: dogs (main, 10 %)\n[LABEL 2]: cats (main, 10 %)", "'dogs' cannot be main with 10 %"),
        ("[LABEL]: dogs (weak 90 %)", "'dogs' cannot be weak with 90 %"),
        ("[LABEL]: dogs (120 %)", "strength of 'dogs' is 120 %"),
        ("[LABEL 1]: dogs\n[LABEL 2]: cats (0 %)", "strength of 'cats' is 0 %"),
        ("[LABEL]: dogs (\u22125 %)", "strength of 'dogs' is -5 %"),
        ("[LABEL 1]: dogs (main) (10 %)\n[LABEL 2]: cats (main)", r"'dogs \(main\) \(10 %\)' cannot be read"),
        ("[LABEL]: dogs (20-30 %)", "cannot be read"),
        ("[LABEL]: dogs (nan %)", "cannot be read"),
        ("[LABEL]: dogs (very strong)", "cannot be read"),
        ("[LABEL]: dogs (0.8)", "cannot be read"),
        ("[LABEL]: dogs 40 %", "cannot be read"),
        ("[LABEL 1]: dogs (80 %)\n[LABEL 2]: Dogs (20 %)", "'Dogs' has two strengths, 80% and 20%"),
        ("[LABEL 1]: dogs\n[LABEL 2]: dogs (weak)", "'dogs' has two strengths, 100% and 40%"),
        ("[LABEL]: dogs (-5 %)", "strength of 'dogs' is -5 %"),
        ("[LABEL 1]: dogs (80 %)\n[LABEL 2]: (40 %)", r"'\(40 %\)' has no label"),
        ("[LABEL 1]: dogs (80 %)\n[LABEL 2]: a dog (20 %)", r"80% and 20% \(it says the same as 'dogs'\)"),
        ("[LABEL 1]: white things (80 %)\n[LABEL 2]: anything white (weak)", "80% and 40%"),
        ("[LABEL]: dogs (80 %) OR cats (40 %)", "give each its own line"),
        ("[LABEL]: dogs (150 %) OR cats", "give each its own line"),
        ("[LABEL]: dogs (very strong) OR cats", "give each its own line"),
        ("[LABEL]: cats AND (snow OR dogs (40 %))", "give each its own line"),
    ],
)
def test_strengths_that_cannot_be_go_back_in_one_sentence(task, labels, why):
    with pytest.raises(ReplyError, match=why) as refused:
        _answer(task, f"[DESCRIPTION]: x\n{labels}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("label", ["digit (7)", "Boeing (747)", "sky (low)", "tall buildings (high)"])
def test_a_name_in_brackets_is_no_strength(task, label):
    assert _answer(task, f"[DESCRIPTION]: x\n[LABEL]: {label}").labels == [label]


def test_answers_of_records_without_strengths_open(task):
    old = NeuronDescriptionAnswer.model_validate({"description": "Red.", "labels": ["red"]})
    assert task.explanation(old).strengths == ()
    with pytest.raises(ValueError, match="2 strengths for 1 label"):
        task.explanation(NeuronDescriptionAnswer(description="Red.", labels=["red"], strengths=[1.0, 0.4]))


def test_the_prompt_asks_for_strengths_and_the_sentence(task):
    prompt = task.prompt(Context(RunConfig(), parts=fake_parts()).system.info)
    assert "one sentence for people" in prompt
    assert "(main), (weak)" in prompt


def test_a_label_that_is_a_comma_list_becomes_several_labels_each_once(task):
    labels = "[LABEL 1]: dogs (80 %), cats (40 %), dogs (80 %)\n[LABEL 2]: small, round fruit"
    answer = _answer(task, f"[DESCRIPTION]: Animals.\n{labels}")
    assert answer.labels == ["dogs", "cats", "small, round fruit"]
    assert answer.strengths == [0.8, 0.4, 1.0]


def test_a_label_that_may_be_a_list_is_sent_back(task):
    with pytest.raises(ReplyError, match=r"'zorgon, blick' is a list; give each concept its own line"):
        _answer(task, "[DESCRIPTION]: Odd.\n[LABEL]: zorgon, blick")
