"""Backbone, describer and distribution keep the promises of their kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maia_core.testing import BackboneSuite, DescriberSuite, DistributionSuite
from maia_core.types import CallLimits


class _Backbone(BackboneSuite):
    well_formed = False

    @pytest.fixture
    def limits(self) -> CallLimits:
        return CallLimits(max_output_tokens=12, seed=4)

    @pytest.fixture
    def heard(self, backbone: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        read: list[tuple[str, int]] = []
        engine = backbone._model._engine
        answer = engine.answer

        def spy(conversation: Any, text: str, pictures: Any, *rest: Any, **options: Any) -> Any:
            read.append((text, len(pictures)))
            return answer(conversation, text, pictures, *rest, **options)

        monkeypatch.setattr(engine, "answer", spy)
        return lambda messages: read[-1]

    @pytest.mark.slow
    def test_recorded_conversation_goes_in_unchanged(self, backbone: Any, limits: CallLimits, heard: Any) -> None:
        super().test_recorded_conversation_goes_in_unchanged(backbone, limits, heard)


class TestSeeing(_Backbone):
    @pytest.fixture
    def twin(self, backbone: Any, make: Callable[[], Any]) -> Any:
        return make()

    @pytest.fixture(params=["llava", "qwen", "gemma"])
    def make(self, request: pytest.FixtureRequest, families: Any) -> Callable[[], Any]:
        made = request.getfixturevalue("backbone_of")
        return lambda: made(families[request.param], context_tokens=24_000)

    @pytest.fixture
    def backbone(self, make: Callable[[], Any]) -> Any:
        return make()


class TestBlind(_Backbone):
    @pytest.fixture
    def backbone(self, backbone_of: Callable[..., Any], llava: Any) -> Any:
        return backbone_of(llava.model, context_tokens=24_000)

    @pytest.fixture
    def twin(self, backbone_of: Callable[..., Any], llava: Any) -> Any:
        return backbone_of(llava.model, context_tokens=24_000)


class TestDescriber(DescriberSuite):
    @pytest.fixture
    def describer(self, describer_of: Callable[..., Any], llava: Any) -> Any:
        return describer_of(llava)


class TestDistribution(DistributionSuite):
    distribution = "maia-llama-cpp"
    optional = frozenset({"llama_cpp"})
