"""Backbone and describer keep the promises of their kinds, over each of the three wire formats."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from servers import AnthropicServer, GeminiServer, OpenAIServer, ProviderServer, Received

from maia_core.testing import BackboneSuite, DescriberSuite, DistributionSuite
from maia_core.types import Message
from maia_litellm.describer import LitellmDescriber

PROGRAM = "[CODE]:\n```python\ndef run_experiment(system, tools):\n    return system.info\n```"


def look(request: Received) -> str:
    """Describes the pictures of a request by their pixels, so that different ones are described differently."""
    seen = hashlib.sha256(b"".join(image.image.convert("RGB").tobytes() for image in request.images)).hexdigest()
    return f"something like {seen[:12]}"


def texts(value: Any) -> Iterator[str]:
    """The texts of a request in any of the wire formats, in order."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from [item] if name in ("text", "content") and isinstance(item, str) else texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


class OfBackbone(BackboneSuite):
    server: type[ProviderServer]
    model: str

    @pytest.fixture
    def running(self) -> Iterator[ProviderServer]:
        with self.server(PROGRAM) as server:
            yield server
            assert all(request.refused is None for request in server.requests)

    @pytest.fixture
    def backbone(self, running: ProviderServer, connect: Callable[..., Any]) -> Any:
        return connect(running, self.model, max_images=60)  # So that no image is tiled.

    @pytest.fixture
    def heard(self, running: ProviderServer) -> Any:
        def last(messages: Sequence[Message]) -> tuple[str, int]:
            request = running.requests[-1]
            parts = [request.body.get(name) for name in ("system", "system_instruction", "messages", "contents")]
            return "\n".join(texts(parts)), len(request.images)

        return last

    @pytest.fixture
    def twin(self, running: ProviderServer, connect: Callable[..., Any]) -> Any:
        return connect(running, self.model)


class TestOpenAI(OfBackbone):
    server, model = OpenAIServer, "openai/gpt-4o"


class TestOpenAIReasoning(OfBackbone):
    server, model = OpenAIServer, "openai/gpt-5"


class TestAnthropic(OfBackbone):
    server, model = AnthropicServer, "anthropic/claude-haiku-4-5"


class TestGemini(OfBackbone):
    server, model = GeminiServer, "gemini/gemini-2.5-flash"


class TestModelThatSeesNoImages(OfBackbone):
    server, model = OpenAIServer, "openai/gpt-4o"

    @pytest.fixture
    def backbone(self, running: ProviderServer, connect: Callable[..., Any]) -> Any:
        from maia_core.context import Context
        from maia_core.testing import FakeDescriber

        context = Context(parts={"describer": FakeDescriber()})
        yield connect(running, self.model, context=context, images=False)
        assert not any(request.images for request in running.requests)


class OfDescriber(DescriberSuite):
    server: type[ProviderServer]
    model: str

    @pytest.fixture
    def describer(self, connect: Callable[..., Any]) -> Iterator[Any]:
        with self.server(look) as server:
            yield connect(server, self.model, factory=LitellmDescriber)
            assert all(request.refused is None for request in server.requests)


class TestOpenAIDescriber(OfDescriber):
    server, model = OpenAIServer, "openai/gpt-4o"


class TestAnthropicDescriber(OfDescriber):
    server, model = AnthropicServer, "anthropic/claude-haiku-4-5"


class TestGeminiDescriber(OfDescriber):
    server, model = GeminiServer, "gemini/gemini-2.5-flash"


class TestDistribution(DistributionSuite):
    distribution = "maia-litellm"
