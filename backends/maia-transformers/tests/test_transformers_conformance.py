"""What every backbone and describer does, by tiny models with random weights of several families."""

from typing import ClassVar

import pytest

from maia_core.testing import BackboneSuite, DescriberSuite, DistributionSuite
from maia_core.types import CallLimits
from maia_transformers.backbone import TransformersBackbone
from maia_transformers.describer import TransformersDescriber
from maia_vlm import Picture


class TestDistribution(DistributionSuite):
    distribution = "maia-transformers"


class Backbone(BackboneSuite):
    well_formed = False
    model: str
    options: ClassVar[dict[str, str]] = {"dtype": "float32"}

    def make(self, tiny, context):
        config = TransformersBackbone.Config(model=str(tiny(self.model)), **self.options)
        return TransformersBackbone(config, context)

    @pytest.fixture
    def backbone(self, tiny, context):
        return self.make(tiny, context)

    @pytest.fixture
    def twin(self, tiny, context):
        return self.make(tiny, context)

    @pytest.fixture
    def limits(self):
        return CallLimits(max_output_tokens=8)

    @pytest.fixture
    def heard(self, backbone, monkeypatch):
        from maia_transformers import chat

        read, inputs = [], chat._inputs

        def spy(weights, prompts, packed):
            pictures = [part for message in packed[0] for part in message.parts if isinstance(part, Picture)]
            read.append((prompts[0], len(pictures)))
            return inputs(weights, prompts, packed)

        monkeypatch.setattr(chat, "_inputs", spy)
        return lambda messages: read[-1]

    @pytest.mark.slow
    def test_recorded_conversation_goes_in_unchanged(self, backbone, limits, heard):
        super().test_recorded_conversation_goes_in_unchanged(backbone, limits, heard)


class TestLlava(Backbone):
    model = "llava"


class TestQwen(Backbone):
    model = "qwen2.5-vl"
    options: ClassVar[dict[str, str]] = {"dtype": "bfloat16"}


class TestGemma(Backbone):
    model = "gemma3"


class TestTextOnly(Backbone):
    model = "llama"


class Describer(DescriberSuite):
    model: str

    @pytest.fixture
    def describer(self, tiny, context):
        options = {"model": str(tiny(self.model)), "dtype": "float32", "tokens": 8}
        return TransformersDescriber(TransformersDescriber.Config(**options), context)


class TestLlavaDescribes(Describer):
    model = "llava"


class TestQwenDescribes(Describer):
    model = "qwen2-vl"


class TestGemmaDescribes(Describer):
    model = "gemma3"
