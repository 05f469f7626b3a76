"""What is known of models without asking anybody: windows, prices, eyes, and the lines of `maia backbones`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from maia_core.context import Context
from maia_core.protocols import ListsModels
from maia_litellm import prices
from maia_litellm.backbone import LitellmBackbone
from maia_litellm.limits import takes
from maia_litellm.providers import PROVIDERS, Endpoint


def test_table_is_read_without_loading_litellm() -> None:
    """`maia backbones` would take three seconds longer."""
    program = (
        "import sys; from maia_litellm.backbone import LitellmBackbone; sheets = LitellmBackbone.models(); "
        "print(len(sheets), [m for m in ('litellm', 'httpx', 'openai') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    count, _, loaded = done.stdout.strip().partition(" ")
    assert (loaded, done.stderr) == ("[]", "")
    assert 10 < int(count) < 30


def test_table_is_the_one_that_litellm_has() -> None:
    import litellm

    for name in ("gpt-4o", "claude-haiku-4-5", "gemini/gemini-2.5-flash"):
        assert prices.table()[name]["input_cost_per_token"] == litellm.model_cost[name]["input_cost_per_token"]


def test_models_are_listed_with_key_price_and_window(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(LitellmBackbone, ListsModels)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    sheets = LitellmBackbone.models()
    assert len({sheet.model for sheet in sheets}) == len(sheets)
    for provider in ("openai", "anthropic", "gemini"):
        own = [sheet for sheet in sheets if sheet.model.startswith(f"{provider}/") and not sheet.note]
        assert len(own) == 3
        for sheet in own:
            assert sheet.key == PROVIDERS[provider].keys[0]
            assert sheet.ready is (provider == "anthropic")
            assert sheet.input_price is not None
            assert sheet.output_price is not None
            assert 0 < sheet.input_price < sheet.output_price
            assert (sheet.info.context_tokens or 0) >= 100_000
            assert sheet.info.images
    assert "a-key" not in str(sheets)
    assert {"azure", "openrouter", "ollama", "vllm"} <= {sheet.model.partition("/")[0] for sheet in sheets}


def test_list_shows_how_many_pictures_a_model_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the backbone itself would send, and not the many more that fit on sheets."""
    for provider in PROVIDERS.values():
        for name in provider.keys:
            monkeypatch.setenv(name, "a-key")
    counts = {sheet.model: sheet.info.max_images for sheet in LitellmBackbone.models()}
    assert (counts["azure/DEPLOYMENT"], counts["mistral/MODEL"], counts["openai/MODEL"]) == (50, 8, 20)
    for model, count in counts.items():
        if not model.isupper() and model.partition("/")[2].islower():
            backbone = LitellmBackbone(LitellmBackbone.Config(model=model), Context())
            assert backbone.info.max_images == 16 * (count or 0), model


def test_newest_models_are_chosen_by_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def model(provider: str = "openai", **known: Any) -> dict[str, Any]:
        seen = {"mode": "chat", "supports_vision": True, "input_cost_per_token": 1e-6}
        return {"litellm_provider": provider, **seen, **known}

    table = {
        "gpt-4o": model(),
        "gpt-9": model(),
        "gpt-10": model(),
        "gpt-10-2026-01-01": model(),
        "gpt-10-mini": model(),
        "gpt-9.5-mini": model(),
        "gpt-11": model(supports_vision=False),
        "gpt-12": model(deprecation_date="2020-01-01"),
        "gpt-13-preview": model(),
        "gpt-14": model(mode="embedding"),
        "gpt-15": model(input_cost_per_token=0),
        "gemini-16": model("gemini"),
    }
    monkeypatch.setattr(prices, "table", lambda: table)
    assert prices.newest("openai", 3) == ["gpt-10", "gpt-10-mini", "gpt-4o"]


@pytest.mark.parametrize(
    ("model", "window", "images", "count"),
    [
        ("openai/gpt-4o", 128_000, True, 500),
        ("openai/gpt-3.5-turbo", 16_385, False, 500),
        ("openai/gpt-some-day", None, True, 500),
        ("anthropic/claude-haiku-4-5", 200_000, True, 100),
        ("gemini/gemini-2.5-flash", 1_048_576, True, 900),
        ("mistral/pixtral-large-latest", 128_000, True, 8),
        ("openrouter/anthropic/claude-sonnet-4.5", None, True, 100),
        ("openrouter/qwen/qwen-vl-max", None, True, 20),
        ("ollama/llava", 16_384, True, 20),
        ("ollama/llama3", 16_384, False, 20),
        ("vllm/llava-hf/llava-1.5-7b-hf", None, True, 20),
    ],
)
def test_model_is_known_by_its_name(
    monkeypatch: pytest.MonkeyPatch, model: str, window: int | None, images: bool, count: int
) -> None:
    for provider in PROVIDERS.values():
        for name in provider.keys:
            monkeypatch.setenv(name, "a-key")
    info = LitellmBackbone(LitellmBackbone.Config(model=model), Context()).info
    assert (info.name, info.model, info.context_tokens, info.images) == ("litellm", model, window, images)
    assert info.max_images == 16 * count


def test_somebody_elses_server_need_not_have_the_limits_of_the_provider() -> None:
    """A small server that speaks Anthropic's protocol does not take a hundred images of 1568 pixels."""
    assert takes("anthropic", "some", own=False).images.count == 20
    own = Endpoint.find("anthropic/some", "http://localhost:1234").own
    assert not own


def test_address_of_the_environment_is_for_those_who_have_none_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_BASE", "http://gpu.example.org:11434/")
    assert Endpoint.find("ollama/llava").base == "http://gpu.example.org:11434"
    assert Endpoint.find("ollama/llava", "http://localhost:1").base == "http://localhost:1"
    monkeypatch.setenv("AZURE_API_BASE", "https://mine.openai.azure.com")
    monkeypatch.setenv("AZURE_API_KEY", "a-key")
    assert Endpoint.find("azure/mine").own
