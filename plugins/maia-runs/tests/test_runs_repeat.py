"""Runs that are repeated with other seeds: their folders, their merged answers, and that they resume."""

from __future__ import annotations

import json

import pytest

from maia_core.config import PluginRef, RunConfig
from maia_core.errors import PluginError, RecordError, UsageError
from maia_core.plugin import RunOutcome
from maia_core.record import RunReader
from maia_core.registry import Registry
from maia_core.testing import fakes
from maia_core.types import BackboneInfo, Explanation
from maia_runs import merged_labels, repeat
from maia_runs.repeat import AGREEMENT, LABELS, MERGED, same_by


class Backbone:
    """Answers by the number of turns in the conversation; counts how often it is asked."""

    info = BackboneInfo(name="by-turn")
    asked = 0

    def complete(self, messages, limits):
        type(self).asked += 1
        turn = sum(message.role == "assistant" for message in messages)
        return fakes.ScriptedBackbone(list(fakes.FAKE_RUN)[turn:]).complete(messages, limits)


class World(Registry):
    """The installed registry, with fakes for model, data set, engines and backbone."""

    def find(self, kind, name):
        return object() if (kind, name) == ("model", "discs") else super().find(kind, name)

    def build(self, kind, name, options, context):
        if kind in ("model", "backbone"):
            return fakes.FakeModel() if kind == "model" else Backbone()
        parts = fakes.fake_parts()
        return parts[kind] if kind in parts and kind != "system" else super().build(kind, name, options, context)


CONFIG = RunConfig(verify=False, system="discs:colours:red", seed=3)


@pytest.fixture(autouse=True)
def _unasked(monkeypatch):
    monkeypatch.setattr(Backbone, "asked", 0)


@pytest.mark.slow
def test_each_run_has_its_seed_and_its_folder_and_the_result_is_written(tmp_path):
    found = repeat(CONFIG, 3, out=tmp_path, registry=World())
    assert [run.folder.name for run in found.runs] == ["seed-3", "seed-4", "seed-5"]
    assert [RunReader(run.folder).manifest.seed for run in found.runs] == [3, 4, 5]
    written = json.loads((tmp_path / MERGED).read_text())
    assert written["labels"] == list(found.merged.labels)
    assert written["details"][LABELS] == {found.merged.labels[0]: 3}
    assert written["details"][AGREEMENT] == 1.0


@pytest.mark.slow
def test_the_same_folder_resumes_and_more_times_add_runs(tmp_path):
    repeat(CONFIG, 2, out=tmp_path, registry=World())
    before = Backbone.asked
    again = repeat(CONFIG, 2, out=tmp_path, registry=World())
    assert Backbone.asked == before, "nothing is asked twice"
    assert again.merged.details[LABELS] == {again.merged.labels[0]: 2}
    more = repeat(CONFIG, 3, out=tmp_path, registry=World())
    assert Backbone.asked == before + before // 2
    assert len(more.runs) == 3


def test_a_folder_of_another_configuration_is_refused(tmp_path):
    repeat(CONFIG, 1, out=tmp_path, registry=World())
    other = CONFIG.model_copy(update={"limits": CONFIG.limits.model_copy(update={"turns": 7})})
    with pytest.raises(RecordError, match="choose another --out"):
        repeat(other, 1, out=tmp_path, registry=World())


def test_no_run_at_all_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be repeated 0 times; give a number from 1"):
        repeat(CONFIG, 0, out=tmp_path, registry=World())


def outcome(*labels: str) -> RunOutcome:
    said = Explanation(description="", labels=labels) if labels else None
    return RunOutcome(status="answered" if labels else "failed", explanation=said)


class Judge:
    """Takes plurals for the same."""

    def same(self, a, b):
        return a.rstrip("s") == b.rstrip("s")


def test_labels_that_say_the_same_count_as_one():
    runs = [outcome("dogs"), outcome("snow"), outcome("Dogs"), outcome("dog"), outcome()]
    merged = merged_labels(runs, same_by(Judge()))
    assert merged.labels == ("dogs", "snow")
    assert merged.details == {LABELS: {"dogs": 3, "snow": 1}, AGREEMENT: 3 / 6}
    assert merged.description == (
        "4 of 5 runs answered. Labels by number of runs: dogs (3), snow (1). 50% of the pairs of runs agree."
    )


def test_a_run_with_one_label_more_does_not_agree():
    merged = merged_labels([outcome("dogs", "snow"), outcome("dogs")], same_by(object()))
    assert merged.details[AGREEMENT] == 0


def test_one_run_has_no_agreement_and_no_answer_has_no_label():
    assert merged_labels([outcome("dogs")], same_by(object())).details[AGREEMENT] is None
    silent = merged_labels([outcome(), outcome()], same_by(object()))
    assert (silent.labels, silent.description) == ((), "None of 2 runs answered.")


def test_strengths_are_the_means_over_the_runs():
    def stated(labels: tuple[str, ...], strengths: tuple[float, ...]) -> RunOutcome:
        return RunOutcome(
            status="answered", explanation=Explanation(description="", labels=labels, strengths=strengths)
        )

    runs = [stated(("dogs", "snow"), (1.0, 0.5)), stated(("dog",), (0.5,))]
    assert merged_labels(runs, same_by(Judge())).strengths == (0.75, 0.5)
    assert merged_labels([*runs, outcome("sand")], same_by(Judge())).strengths == ()


class WithoutJudge(World):
    def build(self, kind, name, options, context):
        if kind == "judge":
            raise PluginError("the judge is broken")
        return super().build(kind, name, options, context)


@pytest.mark.slow
def test_paid_runs_are_merged_by_equal_words_where_the_judge_is_broken(tmp_path):
    merged = repeat(CONFIG, 2, out=tmp_path, registry=WithoutJudge()).merged
    assert merged.details[LABELS] == {merged.labels[0]: 2}
    assert "words are equal: the judge is broken" in json.loads((tmp_path / MERGED).read_text())["description"]


def test_a_wrong_name_is_refused_before_the_first_run(tmp_path):
    wrong = CONFIG.model_copy(update={"judge": PluginRef(name="embeding")})
    with pytest.raises(PluginError, match="there is no judge 'embeding'"):
        repeat(wrong, 2, out=tmp_path, registry=World())
    assert (Backbone.asked, list(tmp_path.iterdir())) == (0, [])
