"""What `maia backbones` shows of LiteLLM's models: a few current ones a provider, and how to name any other."""

from __future__ import annotations

import os
from typing import Any

from maia_core.plugin import BackboneInfo, ModelOption
from maia_litellm import prices
from maia_litellm.limits import takes
from maia_litellm.providers import PROVIDERS

LISTED_PROVIDERS = ("openai", "anthropic", "gemini")
"""Providers whose models are listed by name."""

EACH = 3
"""Models that are listed of each of them."""

ANY = {
    "azure/DEPLOYMENT": ("azure", "your own deployment; needs api_base or AZURE_API_BASE"),
    "openrouter/VENDOR/MODEL": ("openrouter", "any vision model that OpenRouter lists"),
    "mistral/MODEL": ("mistral", "any vision model of Mistral"),
    "xai/MODEL": ("xai", "any vision model of xAI"),
    "ollama/MODEL": ("ollama_chat", "a model that `ollama pull` fetched; set context_tokens to its window"),
    "vllm/MODEL": ("hosted_vllm", "what your vLLM server serves; api_base if it is not at http://localhost:8000/v1"),
    "openai/MODEL": ("", "any server that speaks OpenAI's protocol: set api_base, and key_env if it wants a key"),
}
"""What `model` takes beyond those, whose provider it is, and what to know."""


def sheets() -> list[ModelOption]:
    """Returns the lines, without a network access and without loading LiteLLM."""
    return [
        *(_known(provider, model) for provider in LISTED_PROVIDERS for model in prices.newest(provider, EACH)),
        *(_any(pattern, provider, note) for pattern, (provider, note) in ANY.items()),
    ]


def _known(provider: str, model: str) -> ModelOption:
    entry = prices.entry(provider, model)
    name = f"{provider}/{model}"
    key, ready = _key(provider)
    return ModelOption(
        model=name,
        key=key,
        ready=ready,
        info=_info(name, provider, model).model_copy(update={"context_tokens": entry.get("max_input_tokens")}),
        input_price=_per_million(entry.get("input_cost_per_token")),
        output_price=_per_million(entry.get("output_cost_per_token")),
    )


def _any(pattern: str, provider: str, note: str) -> ModelOption:
    key, ready = _key(provider) if provider else ("", True)
    info = _info(pattern, provider, pattern.partition("/")[2])
    return ModelOption(model=pattern, key=key, ready=ready, info=info, note=note)


def _info(name: str, provider: str, model: str) -> BackboneInfo:
    """Says what a request may hold: pictures as they are, not the many more that fit on sheets."""
    most = takes(provider, model)
    return BackboneInfo(name="litellm", model=name, max_images=most.images.count, image_tokens=most.tokens)


def _key(provider: str) -> tuple[str, bool]:
    """Returns the variable of a provider's key (the one that is set, or the usual one), and whether it is set."""
    names = PROVIDERS[provider].keys
    if not names:
        return "", True
    found = next((name for name in names if os.environ.get(name, "").strip()), "")
    return found or names[0], bool(found)


def _per_million(price: Any) -> float | None:
    return round(float(price) * 1e6, 6) if isinstance(price, int | float) else None
