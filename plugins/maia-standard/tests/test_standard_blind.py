"""With `task.blind`, nothing that is sent to the backbone names the model, the layer or the unit."""

from __future__ import annotations

import re

import pytest

from maia_core.agent import run
from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.context_policy import sent_requests
from maia_core.journal import Journal
from maia_core.plugin import Image, Message, ToolError, UnitInfo, installed
from maia_core.session import make_session
from maia_core.testing import FAKE_RUN, FakeSystem, ScriptedBackbone, fake_parts
from maia_standard.blind import hidden, hidden_message, is_blind

INFO = UnitInfo(model="timm/efficientnet_lite0", layer="blocks.15", unit="511", note="of timm/efficientnet_lite0")

PROGRAM = """[CODE]:
```python
def run_experiment(system, tools):
    print(system.info, system.layer, system.model_name, system.neuron_num)
    images = tools.text2image(["a red disc, unit 511 of blocks.15"])
    activations, masked = system.neuron(images)
    tools.log_experiment(activations, masked, ["efficientnet_lite0:blocks.15:511"], "of EfficientNet-Lite0")
    tools.display("layer blocks.15, neuron 511", images[0])
    return masked
```"""

FAILING = """[CODE]:
```python
def run_experiment(system, tools):
    system.neuron(tools.text2image(["a red disc 13"] * 13))
```"""


class Talkative(FakeSystem):
    """A unit whose docstring, note and errors name it."""

    def __init__(self) -> None:
        super().__init__(FakeSystem.Config(ref="red"))
        self.info = INFO

    def neuron(self, images: list[Image]) -> tuple[list[float], list[Image]]:
        """Measures unit 511 of layer `blocks.15` of timm/efficientnet_lite0.

        Args:
            images: The images.
        """
        if any("13" in image.title for image in images):
            raise ToolError(
                "timm/efficientnet_lite0:blocks.15:511 takes at most 12 images; cut efficientnet-lite0's batch"
            )
        return super().neuron(images)


def sent(tmp_path, blind: bool) -> str:
    task = PluginRef(name="neuron-description", blind=blind)
    config = RunConfig(task=task, verify=False, system=PluginRef(name="timm/efficientnet_lite0:blocks.15:511"))
    parts = fake_parts() | {"system": Talkative()}
    context = Context(config, installed(), parts=parts, cache=tmp_path)
    events: list = []
    session = make_session(context, Journal(events.append))
    backbone = ScriptedBackbone([FAKE_RUN[0], PROGRAM, FAILING, FAKE_RUN[-1]])
    assert run(session, backbone).status == "answered"
    session.close()
    replayed = [messages for _, messages in sent_requests(config.context_policy, events)]
    assert [[m.text for m in messages] for messages in replayed] == [[m.text for m in seen] for seen in backbone.seen]
    # The backbone's own words are its own.
    return "\n".join(message.text for message in backbone.seen[-1] if message.role != "assistant")


@pytest.mark.parametrize("blind", [True, "True", "yes", "on", 1])
def test_every_spelling_of_true_hides_what_a_program_reads(blind):
    """`-o task.blind=True` hid the names in the prompt alone."""
    config = RunConfig(task=PluginRef(name="neuron-description", blind=blind))
    assert is_blind(Context(config, installed()))


@pytest.mark.parametrize("blind", [False, "no", "off", 0, ["another task's option"]])
def test_without_it_nothing_is_hidden(blind):
    config = RunConfig(task=PluginRef(name="neuron-description", blind=blind))
    assert not is_blind(Context(config, installed()))


NAMES = re.compile(r"efficient|timm|blocks|\b511\b", re.IGNORECASE)


def test_nothing_that_is_sent_names_the_unit(tmp_path):
    assert not NAMES.findall(sent(tmp_path, blind=True))


def test_without_the_option_the_names_are_sent(tmp_path):
    text = sent(tmp_path, blind=False)
    assert "unit 511 of layer blocks.15 of timm/efficientnet_lite0" in text
    assert "'model': 'timm/efficientnet_lite0'" in text


@pytest.mark.parametrize(
    ("info", "text", "kept"),
    [
        (UnitInfo(model="alexnet", layer="head", unit="12"), "heads of 12 dogs at 0.12", "heads of 12 dogs at 0.12"),
        (
            UnitInfo(model="alexnet", layer="head", unit="12"),
            "head:12 and layer 'head', unit #12",
            "the unit and the layer, the unit",
        ),
        (UnitInfo(model="clip", layer="logit", unit="goldfish"), "a goldfish in a bowl", "a goldfish in a bowl"),
        (UnitInfo(model="clip", layer="logit", unit="goldfish"), "class goldfish of CLIP", "the unit of the model"),
        (UnitInfo(model="ResNet-50", unit="7"), "resnet50, RESNET_50, ResNet 50", "the model, the model, the model"),
        (UnitInfo(model="vit", layer="layer4", unit="122"), "layer4:122 in layer4", "the unit in the layer"),
        (UnitInfo(model=""), "nothing to hide", "nothing to hide"),
    ],
)
def test_plain_words_and_numbers_are_hidden_only_as_names(info, text, kept):
    assert hidden(text, info) == kept


RESNET = UnitInfo(model="torchvision/resnet152", layer="layer4", unit="122")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ResNet-152, ResNet 152 and resnet_152", "the model, the model and the model"),
        ("torchvision.models.resnet152()", "the model()"),
        ("conv of layer4.2.conv3 in layer 4", "conv of the layer in the layer"),
        ("layer4_122, layer4/122, layer4 122, (layer4, 122)", "the unit, the unit, the unit, (the unit)"),
        ("model.layer4[122]", "the unit"),
        ("(#122), unit no 122, unit index 122, UNIT_122", "(the unit), the unit, the unit, the unit"),
        ("the 122nd unit of layer_layer4_out", "the unit of layer_the layer_out"),
        ("122 images at 0.122, layer41, layer4122, xlayer4, myresnet152", None),
    ],
)
def test_names_are_hidden_in_every_spelling(text, kept):
    assert hidden(text, RESNET) == (kept or text)


@pytest.mark.parametrize(
    ("info", "text", "kept"),
    [
        (UnitInfo(model="clip", layer="head", unit="1"), "a paper clip on the head of 1 dog, image #1", None),
        (UnitInfo(model="clip", layer="head", unit="1"), "Feature 1: dog\nClass 1: cat", None),
        (
            UnitInfo(model="clip", layer="head", unit="1"),
            "unit 1: a dog, class 1 of 'CLIP'",
            "the unit: a dog, the unit of 'the model'",
        ),
        (
            UnitInfo(model="clip", layer="head", unit="1"),
            "clip/ViT, the clip model, model=clip",
            "the model/ViT, the the model model, the model",
        ),
        (
            UnitInfo(model="alexnet", layer="blocks.5", unit="1"),
            "blocks.50, blocks.5.0, 4.5",
            "blocks.50, the layer, 4.5",
        ),
        (
            UnitInfo(model="vit", layer="blocks.9:sae=/data//sae.pt", unit="7"),
            "blocks.9:sae=/data//sae.pt:7",
            "the unit",
        ),
        (UnitInfo(model="vit", layer="4.2", unit="7"), "a score of 4.2, layer 4.2", "a score of 4.2, the layer"),
    ],
)
def test_ordinary_words_and_numbers_stay(info, text, kept):
    assert hidden(text, info) == (kept or text)


def test_the_backbones_own_words_stay():
    message = Message.of("assistant", "I know unit 511 of blocks.15.")
    assert hidden_message(message, INFO) is message
