"""The task `bias`: its prompt, the form of its answer, the parts that a run of it has."""

from __future__ import annotations

import pytest

from maia_bias.findings import claimed
from maia_bias.task import Bias
from maia_core.plugin import Context, Message, PluginRef, ReplyError, RunConfig, Task, UnitInfo, UsageError
from maia_core.testing import TaskSuite, fake_parts


def _task(info: UnitInfo, **options: str) -> Bias:
    parts = fake_parts()
    parts["system"].info = info
    return Bias(Bias.Config(**options), Context(RunConfig(), parts=parts))


PENGUIN = UnitInfo(model="net", layer="prob", unit="king_penguin", has_map=False)


class TestBiasTask(TaskSuite):
    @pytest.fixture
    def task(self) -> Task:
        return _task(PENGUIN)

    @pytest.fixture
    def sections(self) -> dict[str, list[str]]:
        return {"ANSWER": ["Lower on snow."], "FINDINGS": ["lower: on snow | -0.3\nhigher: next to a ball"]}


def test_the_unit_names_its_class_in_words():
    assert 'class "king penguin"' in _task(PENGUIN).prompt(PENGUIN)
    assert 'class "rabbit"' in _task(UnitInfo(model="planted"), class_name="rabbit").prompt(UnitInfo(model="planted"))
    imagenet = UnitInfo(model="net", layer="logit", unit="tiger,_Panthera_tigris")
    assert 'class "tiger"' in _task(imagenet).prompt(imagenet)


def test_a_blind_task_names_the_class_but_neither_the_model_nor_the_layer():
    parts = fake_parts()
    parts["system"].info = PENGUIN.model_copy(update={"model": "resnet152", "unit": "7"})
    config = RunConfig(task=PluginRef(name="bias", blind=True, class_name="king penguin"))
    task = Context(config, parts=parts).part("task")
    prompt = task.prompt(parts["system"].info)
    assert 'The unit is the response of a neural network to the class "king penguin"' in prompt
    sent = task.hide(Message.of("user", "ResNet-152, layer prob, unit 7 of king penguins"))
    assert sent.text == "the model, the layer, the unit of king penguins"
    assert _task(PENGUIN).hide(Message.of("user", "resnet152")).text == "resnet152"


def test_a_unit_of_no_class_is_refused_in_one_line():
    for info in (UnitInfo(model="net", layer="layer4", unit="3"), UnitInfo(model="net", layer="prob", unit="7")):
        with pytest.raises(UsageError, match="not a unit of a class; choose one, such as MODEL:prob:tiger") as refused:
            _task(info)
        assert "\n" not in str(refused.value)


def test_no_bias_found_is_a_valid_answer():
    task = _task(PENGUIN)
    explanation = task.explanation(task.parse({"ANSWER": ["It responds alike everywhere."], "FINDINGS": ["none"]}))
    assert explanation.labels == ("no bias found",)
    assert claimed(explanation) == []


@pytest.mark.parametrize(
    ("findings", "why"),
    [
        ("on snow it is worse", "one finding per line .* not a finding: on snow it is worse"),
        ("lower: on snow\nhigher: On snow", "contradict each other: 'On snow' is both higher and lower"),
        ("none\nlower: on snow", "not a finding: none"),
    ],
)
def test_a_wrong_list_is_sent_back_with_the_reason(findings: str, why: str):
    with pytest.raises(ReplyError, match=why):
        _task(PENGUIN).parse({"ANSWER": ["x"], "FINDINGS": [findings]})


def test_a_run_of_the_task_has_its_verifier_and_tools_unless_others_are_chosen():
    config = Context(RunConfig(task=PluginRef(name="bias"))).config
    assert config.verifier.name == "matched-pairs"
    assert "class_exemplars" in [tool.name for tool in config.tools]
    chosen = RunConfig(task=PluginRef(name="bias"), verifier=PluginRef(name="held-out"))
    assert Context(chosen).config.verifier.name == "held-out"
    assert Context(RunConfig()).config.verifier.name == "held-out"
