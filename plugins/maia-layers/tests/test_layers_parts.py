"""The layer as a system, its tools and the task."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maia_core.agent import run
from maia_core.config import RunConfig, validated
from maia_core.errors import ReplyError, ToolError, UsageError
from maia_core.session import make_session
from maia_core.testing import DistributionSuite, ScriptedBackbone, TaskSuite, ToolSuite, disc
from maia_layers.command import TOOLS
from maia_layers.exemplars import UnitExemplars
from maia_layers.scoring import ScoreUnits, effects
from maia_layers.system import LayerSystem
from maia_layers.task import LayerQuestion
from maia_stats import best_auc_by_chance, column_aucs


class TestDistribution(DistributionSuite):
    distribution = "maia-layers"


class TestScoreUnits(ToolSuite):
    name = "score_units"

    @pytest.fixture
    def context(self, context):
        return context

    @pytest.fixture
    def tool(self, context):
        return ScoreUnits(ScoreUnits.Config(shuffles=20), context)


class TestUnitExemplars(ToolSuite):
    name = "unit_exemplars"

    @pytest.fixture
    def context(self, context):
        return context

    @pytest.fixture
    def tool(self, context):
        return UnitExemplars(UnitExemplars.Config(count=3), context)


class TestTask(TaskSuite):
    @pytest.fixture
    def task(self, context):
        return LayerQuestion(LayerQuestion.Config(question="which units like red?"), context)

    @pytest.fixture
    def sections(self):
        return {"ANSWER": ["Unit 0 does."], "UNITS": ["0: mean 3 against 0"]}


def pictures(colour, count):
    return [disc(colour, seed) for seed in range(count)]


def test_the_selective_unit_comes_first_and_chance_is_shown(context, number):
    tool = ScoreUnits(ScoreUnits.Config(), context)
    found = tool(pictures("red", 6), [*pictures("blue", 6), *pictures("green", 6)], top=2)
    assert found[0]["unit"] == number["red"]
    assert found[0]["auc"] == 1
    assert found[0]["mean"] > 1
    assert found[0]["control_mean"] == 0
    [shown] = context.take_shown()
    assert "mixed at random" in shown.text


def brute_auc(shown, other):
    return [
        np.mean([(a > b) + 0.5 * (a == b) for a in shown[:, unit] for b in other[:, unit]])
        for unit in range(shown.shape[1])
    ]


@settings(deadline=None, max_examples=60)
@given(
    arrays.arrays(np.float32, (9, 4), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0])),
    st.integers(2, 7),
)
def test_area_is_the_share_of_pairs_in_the_right_order(activations, count):
    shown, other = activations[:count], activations[count:]
    assert column_aucs(shown, other) == pytest.approx(brute_auc(shown, other), abs=1e-5)


def test_chance_is_that_of_the_best_of_all_units():
    """Ten images and a thousand units without meaning: one of them separates any two halves nearly perfectly."""
    noise = np.random.default_rng(0).normal(size=(10, 1000)).astype(np.float32)
    assert np.median(best_auc_by_chance(noise, 5, 50, seed=1)) > 0.95
    assert np.median(best_auc_by_chance(noise[:, :1], 5, 200, seed=1)) == pytest.approx(0.5, abs=0.1)


def test_effect_of_a_unit_that_never_changes_is_nothing():
    flat = np.ones((3, 2), np.float32)
    rising = np.stack([np.ones(3), np.array([2, 3, 4])], axis=1).astype(np.float32)
    assert effects(rising, flat).tolist() == [0, pytest.approx(2 / np.std([2, 3, 4, 1, 1, 1]))]


@pytest.mark.parametrize(("images", "controls", "top"), [(1, 5, 3), (5, 0, 3), (5, 5, 0)])
def test_too_few_images_are_refused_with_what_is_needed(context, images, controls, top):
    with pytest.raises(ToolError, match=r"at least 2|from 1"):
        ScoreUnits(ScoreUnits.Config(), context)(pictures("red", images), pictures("blue", controls), top)


def test_units_that_do_not_exist_are_refused(context):
    system = context.system
    with pytest.raises(ToolError, match="has units 0 to"):
        system.neuron([disc("red")], 99)
    with pytest.raises(UsageError, match="Did you mean 'colours'"):
        LayerSystem(LayerSystem.Config(ref="discs:colour"), context)


@pytest.mark.parametrize(
    ("line", "unit"),
    [("3: likes red", 3), ("- unit 3: likes red", 3), ("**3** - likes red", 3), ("1. Unit 3: likes red", 3)],
)
def test_units_of_an_answer_are_read_as_models_write_them(context, line, unit):
    task = LayerQuestion(LayerQuestion.Config(question="?"), context)
    assert task.parse({"ANSWER": ["This one."], "UNITS": [line]}).units[0].unit == unit


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"ANSWER": ["Some."], "UNITS": ["several of them"]}, "one unit a line"),
        ({"ANSWER": ["Some."], "UNITS": ["999: likes red"]}, "has units 0 to"),
        ({"ANSWER": ["Some."]}, r"lacks \[UNITS\]"),
    ],
)
def test_malformed_answer_says_what_was_expected(context, sections, says):
    with pytest.raises(ReplyError, match=says):
        LayerQuestion(LayerQuestion.Config(question="?"), context).parse(sections)


def test_no_unit_is_an_answer(context):
    task = LayerQuestion(LayerQuestion.Config(question="?"), context)
    answer = task.parse({"ANSWER": ["There is none."], "UNITS": ["none"]})
    assert task.explanation(answer).labels == ("no unit",)


def test_a_question_is_answered_by_experiments_on_the_whole_layer(context, number):
    program = """[CODE]:
```python
def run_experiment(system, tools):
    images, controls = tools.text2image(["a red disc"] * 5), tools.text2image(["a blue disc"] * 5)
    best = tools.score_units(images, controls, top=1)[0]["unit"]
    fresh = system.layer(tools.text2image(["a red disc", "a green disc"]))
    activations, masked = system.neuron(images, best)
    tools.log_experiment(activations, masked, ["a red disc"] * 5)
    return best, fresh[0][best] > fresh[1][best]
```"""
    answer = "[ANSWER]: One unit.\n[UNITS]:\n" + f"{number['red']}: above every control"
    config = {"task": {"name": "layer-question", "question": "which units like red?"}, "tools": list(TOOLS)}
    context.config = validated(RunConfig, config, "the test")
    backbone = ScriptedBackbone([program, answer])
    session = make_session(context)
    outcome = run(session, backbone)
    session.close()
    assert f"({number['red']}, True)" in backbone.seen[1][-1].text
    assert outcome.explanation.labels == (f"unit {number['red']}",)
    assert outcome.explanation.details["units"][0]["unit"] == number["red"]
    assert "def layer(self, images" in backbone.seen[0][0].text
