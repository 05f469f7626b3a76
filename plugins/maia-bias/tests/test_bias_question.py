"""Questions about a whole classifier: which class they name, the form of the answer, what the program can read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maia_bias.exemplars import ClassExemplars
from maia_bias.question import Question, subject_of
from maia_bias.whole import WholeModel
from maia_core.plugin import (
    Context,
    Image,
    LayerInfo,
    PluginRef,
    ReplyError,
    RunConfig,
    System,
    Task,
    ToolError,
    UnitInfo,
    UsageError,
)
from maia_core.testing import FakeSystem, SystemSuite, TaskSuite, ToolSuite, fake_parts

CLASSES = ("rabbit", "penguin", "king_crab, Alaska crab", "pig")


class FourClasses:
    """A classifier of four classes that sees each image as a penguin."""

    name, fingerprint, classes = "four", "four", CLASSES

    def layers(self) -> list[LayerInfo]:
        return [LayerInfo(name="prob", units=4)]

    def activations(self, images: Any, layer: str) -> Any:
        return np.array([[0.1, 0.7, 0.15, 0.05]] * len(images), np.float32)

    def unit(self, ref: str) -> FakeSystem:
        if ref not in ("prob:1", "prob:penguin"):
            raise UsageError(f"no unit {ref}")
        return FakeSystem()


def _whole() -> WholeModel:
    context = Context(RunConfig())
    context._parts["model/four/[]"] = FourClasses()
    return WholeModel(WholeModel.Config(ref="four"), context)


def _task(question: str = "in which settings does it fail to recognise a penguin?") -> Question:
    context = Context(RunConfig(), parts=fake_parts() | {"system": _whole()})
    return Question(Question.Config(question=question), context)


def test_a_blind_question_does_not_name_the_model() -> None:
    options = {"blind": True, "question": "in which settings does it fail to recognise a penguin?"}
    config = RunConfig(task=PluginRef(name="question", **options))
    task = Context(config, parts=fake_parts() | {"system": _whole()}).part("task")
    assert "A question about the classifier, which has 4 classes" in task.prompt(_whole().info)
    assert "A question about the classifier four, which" in _task().prompt(_whole().info)


class TestQuestionTask(TaskSuite):
    @pytest.fixture
    def task(self) -> Task:
        return _task()

    @pytest.fixture
    def sections(self) -> dict[str, list[str]]:
        return {"ANSWER": ["On snow."], "CLASS": ["penguin"], "FINDINGS": ["lower: on snow | -0.3"]}


class OneUnit:
    """A whole model through one of its units, as a suite of systems measures it."""

    methods = WholeModel.methods

    def __init__(self) -> None:
        self._whole = _whole()
        self.info: UnitInfo = FakeSystem().info
        self.classes, self.predict = self._whole.classes, self._whole.predict

    def neuron(self, images: list[Image], unit: str = "prob:penguin") -> tuple[list[float], list[Image]]:
        """Measures one unit."""
        return self._whole.neuron(images, unit)


class TestUnitsOfAWholeModel(SystemSuite):
    @pytest.fixture
    def system(self) -> System:
        return OneUnit()


class TestClassExemplars(ToolSuite):
    name = "class_exemplars"

    @pytest.fixture
    def tool(self, context: Context) -> ClassExemplars:
        context.system.info = UnitInfo(model="net", layer="prob", unit="disc", has_map=False)  # pyright: ignore
        return ClassExemplars(ClassExemplars.Config(count=3), context)


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("in which settings does it fail to recognise a penguin?", "penguin"),
        ("Where does it confuse pigs with rabbits?", "rabbit"),
        ("When does it miss the Alaska crab?", "king_crab, Alaska crab"),
        ("Which animals does it know best?", ""),
        ("In which settings does it recognise an animal?", ""),
        ("Which animals does it miss on the snow?", ""),
        ("Does it see the beach?", ""),
        ("Does it depend on the background?", ""),
        ("How much does the colour of the background matter?", ""),
        ("Which class suffers in images with a red car?", ""),
    ],
)
def test_the_class_of_a_question_is_found(question: str, subject: str):
    assert subject_of(question, CLASSES, "four") == subject


def test_a_class_that_the_model_lacks_is_refused_in_one_line_with_the_nearest():
    with pytest.raises(UsageError, match=r"four has no class 'zebra'\. The nearest of its 4 classes: ") as refused:
        _task("in which settings does it fail to recognise a zebra?")
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match=r"no class 'pengiun'\. Did you mean 'penguin'"):
        _task("when does it miss a pengiun?")
    for question in ("When does it fail on a zebra?", "What does it see in the image of a zebra?"):
        with pytest.raises(UsageError, match="no class 'zebra'"):
            _task(question)
    with pytest.raises(ReplyError, match="no class 'zebra'"):
        _task().parse({"ANSWER": ["x"], "CLASS": ["zebra"], "FINDINGS": ["none"]})


def test_programs_read_classes_and_predictions_and_measure_any_unit():
    whole = _whole()
    images = [fake_parts()["dataset"][0]]
    assert whole.classes() == list(CLASSES)
    assert whole.predict(images, 2) == [{"penguin": 0.7, "king_crab, Alaska crab": 0.15}]
    assert len(whole.neuron(images, "prob:penguin")[0]) == 1
    with pytest.raises(ToolError, match="no unit prob:zebra"):
        whole.neuron(images, "prob:zebra")
    with pytest.raises(ToolError, match="top is a number of classes from 1"):
        whole.predict(images, 0)


def test_an_answer_about_no_class_is_valid():
    answer = _task("Which animals does it know best?").parse(
        {"ANSWER": ["Pigs."], "CLASS": ["none"], "FINDINGS": ["none"]}
    )
    assert answer.subject == ""


def test_the_prompt_says_how_the_class_is_measured():
    assert 'system.neuron(images, "prob:1")' in _task().prompt(_whole().info)
