"""The provider servers of the folder `servers`, and how tests connect to them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
sys.path.insert(0, str(Path(__file__).parent))

from servers import AnthropicServer, GeminiServer, OpenAIServer, ProviderServer

from maia_core.context import Context
from maia_litellm.backbone import LitellmBackbone
from maia_litellm.describer import LitellmDescriber
from maia_litellm.providers import PROVIDERS, Provider

SERVICES: dict[str, tuple[type[ProviderServer], str]] = {
    "openai": (OpenAIServer, "openai/gpt-4o"),
    "anthropic": (AnthropicServer, "anthropic/claude-haiku-4-5"),
    "gemini": (GeminiServer, "gemini/gemini-2.5-flash"),
}
"""The three wire formats: a strict server of each, and a model that it knows."""

KEYS = sorted({name for provider in PROVIDERS.values() for name in provider.keys + provider.base_variables})


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no address of this machine takes part in a test."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test finds what another one, or this machine's user, had drawn or described."""
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> tuple[type[ProviderServer], str]:
    """One provider after the other: its server's class and a model's name."""
    return SERVICES[request.param]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a backbone (or a describer) that talks to a server: `connect(server, model, own=False, **options)`.

    With `own`, the server stands for the provider itself, so that the provider's key, limits and prices are in force.
    """

    def make(
        server: ProviderServer,
        model: str,
        *,
        own: bool = False,
        context: Context | None = None,
        factory: type[LitellmBackbone] | type[LitellmDescriber] = LitellmBackbone,
        **options: Any,
    ) -> Any:
        options = {"model": model, "api_base": server.url} | options
        if own:
            monkeypatch.setattr(Provider, "owns", lambda provider, address: address.hostname == "127.0.0.1")
            monkeypatch.setenv(PROVIDERS[model.partition("/")[0]].keys[0], server.key)
        else:
            monkeypatch.setenv("TEST_SERVER_KEY", server.key)
            options = {"key_env": "TEST_SERVER_KEY"} | options
        return factory(factory.Config(**options), context or Context())

    return make
