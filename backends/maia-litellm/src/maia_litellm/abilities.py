"""What a model can do, as far as its options, LiteLLM's table and its provider tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maia_core.plugin import BackboneInfo
from maia_litellm.limits import Takes
from maia_litellm.options import ModelConfig
from maia_litellm.providers import Endpoint
from maia_vlm import ImageLimits
from maia_vlm.packing import TILES

OLLAMA_WINDOW = 16_384
"""Ollama's own default is 4,096 tokens, and what does not fit it drops without a word."""


def image_limits(config: ModelConfig, provider_takes: Takes) -> ImageLimits:
    """Returns what images the model takes: the options, else what its provider takes."""
    own = {"count": config.max_images, "max_side": config.max_side}
    return provider_takes.images.model_copy(update={k: v for k, v in own.items() if v is not None})


def info_of(config: ModelConfig, endpoint: Endpoint, known: Mapping[str, Any], provider_takes: Takes) -> BackboneInfo:
    """Returns what a model is and can do: the options, else its entry in LiteLLM's table, else its provider."""
    sees = config.images
    if sees is None:
        # What is in LiteLLM's table without the mark does not see; what is not in it may well.
        sees = bool(known.get("supports_vision")) if known else True
    window = config.context_tokens or _positive(known.get("max_input_tokens") if endpoint.own else None)
    if window is None and endpoint.provider.name == "ollama_chat":
        window = OLLAMA_WINDOW
    role = config.system_role
    if role is None:
        role = known.get("supports_system_messages") is not False
    count = image_limits(config, provider_takes).count
    return BackboneInfo(
        name="litellm",
        model=endpoint.name,
        images=sees,
        max_images=count * TILES[-1] if count is not None else None,
        context_tokens=window,
        image_tokens=85 if config.detail == "low" else provider_takes.tokens,
        system_role=role,
    )


def _positive(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value > 0 else None
