"""`maia eval bias`: strict words, verdicts, fresh images and the failure table, against models whose truth is known."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from maia_bias import Finding
from maia_collage.pack import find
from maia_collage.scene import scene_of
from maia_core.context import Context
from maia_core.plugin import PluginRef, RunConfig, installed
from maia_core.registry import Registry
from maia_core.types import Explanation
from maia_eval.bias import HeldOutClass, Plan, run
from maia_eval.bias_results import BiasResult, bias_results, bias_rows
from maia_eval.bias_scoring import names, names_only, preferred, read_all, verdict
from maia_eval.choices import Spec
from maia_eval.command import evaluate
from maia_eval.explaining import Contexts
from maia_eval.failures import failure_table
from maia_eval.results import Folder
from maia_planted.attributes import VALUES, Attribute, of_class
from maia_planted.scenes import CLASSES
from maia_planted.subjects import Subject, subject_of, subjects_of


def finding(text: str, status: str = "verified") -> Finding:
    direction, _, subgroup = text.partition(": ")
    return Finding.model_validate({"subgroup": subgroup, "direction": direction, "status": status})


RED, SNOW = Attribute(kind="colour", value="red"), Attribute(kind="background", value="snow")
SMALL, LEFT = Attribute(kind="size", value="small"), Attribute(kind="position", value="left")
SEVERAL, CAR = Attribute(kind="count", value="several"), Attribute(kind="neighbour", value="car")


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        ("higher: red", RED),
        ("higher: scarlet rabbits", RED),
        ("lower: not red", RED),
        ("lower: anything but red", RED),
        ("higher: on snow", SNOW),
        ("higher: snowy ground", SNOW),
        ("lower: without snow", SNOW),
        ("higher: small", SMALL),
        ("lower: large", SMALL),
        ("lower: not small", SMALL),
        ("lower: on the right", LEFT),
        ("higher: 2 at once", SEVERAL),
        ("higher: more than one", SEVERAL),
        ("lower: single", SEVERAL),
        ("higher: next to a car", CAR),
        ("lower: no car beside it", CAR),
        ("higher: without a car and on snow", SNOW),
        ("higher: without a car on snow", SNOW),
        ("higher: not red, on snow", SNOW),
        ("higher: not red but on snow", SNOW),
        ("lower: without a red car", CAR),
        ("lower: neither small nor on snow", SNOW),
    ],
)
def test_findings_that_name_an_attribute(text, attribute):
    assert names(finding(text), attribute)


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        ("lower: red", RED),
        ("higher: not red", RED),
        ("higher: blue", RED),
        ("lower: blue", RED),
        ("higher: red or blue", RED),
        ("higher: colourful", RED),
        ("higher: reddish-brown", RED),
        ("higher: bored", RED),
        ("higher: on sand", SNOW),
        ("higher: in winter", SNOW),
        ("lower: small", SMALL),
        ("higher: in the top left corner", LEFT),
        ("higher: next to a cart", CAR),
        ("lower: without a car and on snow", SNOW),
        ("lower: without a car on snow", SNOW),
        ("lower: not red, on snow", SNOW),
        ("higher: on snow and without a car", CAR),
    ],
)
def test_findings_that_do_not(text, attribute):
    assert not names(finding(text), attribute)


def subject(*attributes: Attribute, join: str = "and") -> Subject:
    return Subject.model_validate({"concept": "rabbit", "attributes": attributes, "join": join})


@pytest.mark.parametrize(
    ("truth", "texts", "expected"),
    [
        (subject(RED), ["higher: red"], ("named", 0)),
        (subject(RED), ["higher: red", "higher: on snow"], ("named", 1)),
        (subject(RED), ["higher: on snow"], ("missed", 1)),
        (subject(RED), [], ("missed", 0)),
        (subject(RED, SNOW), ["higher: red and on snow"], ("named", 0)),
        (subject(RED, SNOW), ["higher: red", "lower: not on snow"], ("named", 0)),
        (subject(RED, SNOW, join="or"), ["higher: red"], ("partly", 0)),
        (subject(RED, SNOW), ["higher: red or on snow"], ("partly", 1)),
        (subject(RED, SNOW, join="or"), ["higher: red or on snow"], ("named", 0)),
        (subject(RED, SNOW, join="or"), ["higher: red and on snow"], ("partly", 1)),
        (subject(RED, SNOW), ["lower: not red or not on snow"], ("named", 0)),
        (subject(RED, SNOW, join="or"), ["lower: not red and not on snow"], ("named", 0)),
        (subject(RED, SNOW), ["lower: not red and not on snow"], ("partly", 1)),
        (subject(RED, SNOW), ["higher: red and not on snow"], ("partly", 1)),
        (subject(RED), ["higher: red or on snow"], ("partly", 1)),
        (subject(RED), [f"higher: {value}" for value in VALUES["colour"]], ("partly", 3)),
        (subject(SNOW), ["higher: on snow", "lower: not on sand"], ("partly", 1)),
        (subject(SNOW), ["lower: on snow", "higher: on snow"], ("partly", 1)),
        (subject(SNOW), ["higher: without a car and on snow"], ("named", 0)),
        (subject(), [], ("clear", 0)),
        (subject(), ["higher: red"], ("false alarm", 1)),
    ],
)
def test_verdicts(truth, texts, expected):
    assert verdict(truth, [finding(text) for text in texts], True) == expected


def test_an_answer_that_names_everything_does_not_name_only_what_was_planted():
    guesses = [finding(f"higher: {value}") for value in ("red", "on snow", "small", "on the left", "single")]
    assert verdict(subject(RED), guesses, True) == ("named", 4)
    assert not names_only(subject(RED), guesses)
    assert not names_only(subject(RED), [finding("higher: red and on snow")])
    assert names_only(subject(RED), [finding("lower: not red")])


class Recording:
    def __init__(self):
        self.labels = set()

    def compare(self, label, first, second):
        self.labels.add(label)
        return 0


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("higher: red", "red rabbit"),
        ("higher: on snow", "rabbit on snow"),
        ("lower: not on snow", "rabbit on snow"),
        ("lower: not red", "red rabbit"),
        ("lower: non-red", "red rabbit"),
        ("lower: anything but red", "red rabbit"),
        ("lower: without a car", "rabbit with a car"),
        ("lower: outside of a forest", "rabbit inside a forest"),
        ("lower: on snow", "rabbit not on snow"),
        ("lower: with a car", "rabbit without a car"),
        ("lower: red", "rabbit that is not red"),
        ("lower: not red or not on snow", "red rabbit AND rabbit on snow"),
        ("lower: not red and not on snow", "red rabbit OR rabbit on snow"),
    ],
)
def test_the_judge_compares_the_images_with_a_higher_score(text, label):
    judge = Recording()
    preferred(subject(RED), [subject(SNOW), subject(CAR)], [finding(text)], judge)
    assert judge.labels == {label}


def test_no_answer_is_neither_clear_nor_a_false_alarm():
    assert verdict(subject(), [], False) == ("no answer", 0)


def test_a_dropped_finding_does_not_count_and_an_untested_list_does():
    claimed = [finding("higher: red", "untested"), finding("higher: on snow", "untested")]
    tested = [finding("higher: red"), finding("higher: on snow", "dropped")]
    as_json = [[each.model_dump(mode="json") for each in some] for some in (claimed, tested)]
    assert read_all({"findings": as_json[0], "verdict": {"details": {"findings": as_json[1]}}})[1] == [0]
    assert read_all({"findings": as_json[0], "verdict": None})[1] == [0, 1]
    assert read_all({}) == ([], [])


def test_the_failure_table_counts_inside_outside_and_the_low_side():
    probabilities = np.array([0.9] * 6 + [0.1] * 12 + [0.9] * 2)
    snow = np.arange(20) < 8
    rows = failure_table("rabbit", [finding("higher: on snow"), finding("lower: red")], probabilities, lambda _: snow)
    whole, high, low = rows
    assert (whole.inside.hits, whole.inside.of) == (8, 20)
    assert (high.inside.hits, high.inside.of, high.outside.hits, high.outside.of) == (6, 8, 2, 12)
    assert (high.precision.hits, high.precision.of) == (10, 10)
    assert (low.precision.hits, low.precision.of) == (2, 8), "fewer than ten images are there"


def test_precision_counts_the_surest_images_and_of_equally_sure_ones_the_worst():
    probabilities = np.array([0.9] * 30 + [0.1] * 10)
    (_, row) = failure_table("rabbit", [finding("lower: on snow")], probabilities, lambda _: np.ones(40))
    assert (row.precision.hits, row.precision.of) == (10, 10), "the data set's order does not count"
    surely = np.linspace(0.9, 0.6, 40)
    (_, row) = failure_table("rabbit", [finding("lower: on snow")], probabilities, lambda _: surely)
    assert (row.precision.hits, row.precision.of) == (0, 10), "the ten surest are right"


@pytest.mark.pack
@pytest.mark.parametrize("concept", [CLASSES[0], CLASSES[-1]])
def test_held_out_images_show_held_out_cut_outs_of_every_class_equally(concept):
    context = Context(RunConfig(task=PluginRef(name="bias"), system=PluginRef(name="planted")))
    held_out = HeldOutClass(Subject(concept=concept), context)
    pack = find("", context.cache)
    allowed = {cutout.id for cutout in pack.part("held-out").members(None)}
    assert allowed < {cutout.id for cutout in pack.members(None)}
    scenes = [scene_of(image, pack) for image in [*held_out.own, *held_out.others]]
    assert {placed.cutout for scene in scenes for placed in scene.objects} <= allowed
    shown = [scene_of(image, pack) for image in held_out.others]
    count = {name: sum(bool(of_class(scene, name, pack)) for scene in shown) for name in CLASSES if name != concept}
    assert len(held_out.others) == 64
    assert min(count.values()) >= 5, count


class Oracle:
    """States the truth of planted models, or what a test has it state."""

    def explain(self, unit, context):
        truth = unit.subject
        texts = [f"higher: {a.phrase('').replace('  ', ' ').strip()}" for a in truth.attributes]
        found = [finding(text, "untested").model_dump(mode="json") for text in texts]
        return Explanation(description=truth.truth, labels=("said",), details={"findings": found})


class Silent:
    def explain(self, unit, context):
        raise RuntimeError("out of luck")


class Alarmed:
    """Finds that every model prefers the left."""

    def explain(self, unit, context):
        found = [finding("higher: on the left", "untested").model_dump(mode="json")]
        return Explanation(description="left", labels=("left",), details={"findings": found})


class World(Registry):
    def build(self, kind, name, options, context):
        known = {"oracle": Oracle, "silent": Silent, "alarmed": Alarmed}
        return known[name]() if kind == "explainer" else super().build(kind, name, options, context)


def evaluated(tmp_path, *explainers, numbers=(37, 28, 3, 11)):
    """Evaluates explainers on four models of the development list: a colour, a background, no bias, a neighbour."""
    config = RunConfig(task=PluginRef(name="bias"), dataset=PluginRef(name="planted", size=64), verify=False)
    contexts = Contexts(config, tmp_path / "runs", World())
    all_units = Plan.of(
        config, [Spec(alias=n, name=n) for n in explainers], "development", None, Context(), installed()
    )
    plan = Plan(all_units.config, all_units.specs, [f"planted:development/{n}" for n in numbers], all_units.generator)
    folder = Folder.begin(tmp_path, "bias", plan.settings(), installed())
    lines: list[str] = []
    run(plan, folder, contexts, lines.append)
    return SimpleNamespace(folder=folder, results=bias_results(folder), lines=lines)


@pytest.mark.pack
@pytest.mark.slow
def test_the_truth_scores_full_marks_and_an_alarm_does_not(tmp_path):
    found = evaluated(tmp_path, "oracle", "alarmed", "silent")
    by_kind = {result.kind: result for result in found.results}
    assert set(by_kind) == {"colour", "background", "none", "neighbour"}
    for kind, result in by_kind.items():
        oracle, alarmed = result.scores["oracle"], result.scores["alarmed"]
        assert oracle.verdict == ("clear" if kind == "none" else "named")
        assert alarmed.verdict == ("false alarm" if kind == "none" else "missed")
        assert result.scores["silent"].verdict == "no answer"
        if kind != "none":
            assert 16 <= oracle.sides.of <= 20, "a prompt that the generator cannot draw is left out"
            assert oracle.sides.hits >= oracle.sides.of - 1, result.truth
            assert abs(alarmed.sides.hits - 10) < 7
            assert oracle.choices.hits == oracle.choices.of
            whole, row = oracle.failures
            assert row.inside.hits == row.inside.of > 0, "it is right wherever the attribute is"
            assert row.outside.hits == 0
            assert row.precision.hits == row.precision.of
            assert whole.inside.of == row.inside.of + row.outside.of
    rows = {(row.group, row.explainer): row for row in bias_rows(found.results, found.folder.explainers, 0)}
    assert rows["all", "alarmed"].choices.value < 0.7 < rows["all", "oracle"].choices.value
    assert rows["all", "oracle"].named.value == 1
    assert rows["all", "oracle"].false_alarms.value == 0
    assert rows["all", "alarmed"].false_alarms[::3] == (1, 1)
    assert rows["one attribute", "oracle"].models == 3
    assert rows["all", "silent"].named[::3] == (0, 3), "no answer names nothing"
    assert rows["all", "silent"].false_alarms.n == rows["all", "silent"].choices.n == 0

    before = {path: path.read_bytes() for path in (tmp_path / "results").iterdir()}
    again = evaluated(tmp_path, "oracle", "alarmed", "silent")
    assert again.lines == [], "nothing is explained twice"
    assert {path: path.read_bytes() for path in (tmp_path / "results").iterdir()} == before

    done = CliRunner().invoke(evaluate, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "oracle" in done.output
    page = (tmp_path / "report.html").read_text()
    assert "The score is higher for: red rabbit." in page
    assert "Failures by subgroup" in page
    assert {file.name for file in (tmp_path / "tables").glob("*.csv")} >= {"bias.csv", "models.csv", "failures.csv"}


@pytest.mark.pack
def test_a_plan_holds_models_of_every_kind_and_uses_seen_cut_outs():
    config = RunConfig(task=PluginRef(name="bias"), dataset=PluginRef(name="planted"))
    plan = Plan.of(config, [], "development", 1, Context(), installed())
    kinds = [subject_of(unit.partition(":")[2], Context()).kind for unit in plan.units]
    assert {"colour", "count", "A and B", "A or B", "none"} <= set(kinds)
    assert len(plan.units) < len(subjects_of("development", Context()))
    assert plan.config.dataset.options["cutouts"] == plan.config.generator.options["cutouts"] == "seen"
    assert plan.generator.options["cutouts"] == "held-out"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--list", "unknown"], "there is no list of planted models 'unknown'"),
        (["--explainer", "agnet"], "there is no explainer 'agnet'. Did you mean 'agent'?"),
    ],
)
@pytest.mark.pack
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, arguments, error):
    out = tmp_path / "new"
    done = CliRunner().invoke(evaluate, ["bias", "--out", str(out), *arguments])
    assert done.exit_code != 0
    assert error in str(done.exception)
    assert not out.exists()


def test_a_result_reads_back_as_it_was(tmp_path):
    scores = {"verdict": "named", "findings": [finding("higher: red")], "reported": (0,), "sides": {"hits": 3, "of": 4}}
    result = BiasResult.model_validate(
        {"unit": "planted:1/1", "form": "head", "kind": "colour", "truth": "t", "scores": {"a": scores}}
        | {"accuracy": {"hits": 1, "of": 2}}
    )
    assert BiasResult.model_validate(json.loads(result.model_dump_json())) == result
