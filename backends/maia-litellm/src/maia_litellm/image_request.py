"""What is asked of an image service: the options, one order, and the arguments of LiteLLM's call."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from maia_core.plugin import Image
from maia_litellm.options import ServiceConfig
from maia_litellm.providers import Endpoint

PROMPT_LIMITS = {"dall-e-2": 1000, "dall-e-3": 4000}
"""Characters, as OpenAI's reference states them; every other model takes what its gpt-image models take."""
DEFAULT_PROMPT_LIMIT = 32_000

SENDS_BASE64 = ("gpt-image", "chatgpt-image")
"""Models that send pictures as base64 and refuse to be asked for it."""

DRAWS = {
    "generator": ("openai", "gemini", "openrouter", "xai", "hosted_vllm"),
    "editor": ("openai", "gemini", "openrouter", "hosted_vllm"),
}
"""Providers whose image API LiteLLM speaks, of those that MAIA knows the address and the key of."""

OVER_HTTP = ("gemini", "openrouter")
"""Those that LiteLLM calls without OpenAI's library; they always send base64."""


class PictureConfig(ServiceConfig):
    """Which image model, where, and how it is asked."""

    quality: str = ""
    """As the model names it (`low`, `medium`, `high`; `standard`, `hd`): a high one costs many times a low one. The
    model's default where it is not set."""
    seconds: float = Field(180, gt=0, allow_inf_nan=False)
    """Longest time that one picture may take."""
    parallel: int = Field(4, gt=0, le=64)
    """How many pictures are asked for at the same time."""


@dataclass(frozen=True)
class Order:
    """One picture that is wanted.

    Attributes:
        text: Prompt or instruction.
        seed: Which of the prompt's pictures.
        image: The image to edit; None: a new one is made.
    """

    text: str
    seed: int
    image: Image | None = None

    @property
    def title(self) -> str:
        """What the picture is called: by its prompt, or by its original and the instruction."""
        return f"{self.image.title}, {self.text}" if self.image and self.image.title else self.text


def route(part: str, endpoint: Endpoint) -> tuple[str, Literal["openai", "http"]]:
    """Returns LiteLLM's function, and the client that it needs for it."""
    if part == "editor":
        return "image_edit", "http"
    return "image_generation", "http" if endpoint.provider.name in OVER_HTTP else "openai"


def arguments_of(endpoint: Endpoint, size: str, quality: str, params: dict[str, Any]) -> dict[str, Any]:
    """Returns what is asked beside the prompt. A picture is wanted as base64: addresses of pictures are not fetched."""
    arguments = {**params, **({"size": size} if size else {}), **({"quality": quality} if quality else {})}
    form = arguments.pop("response_format", None)
    if form is None:
        unasked = endpoint.provider.name in OVER_HTTP or endpoint.model.startswith(SENDS_BASE64)
        form = "" if unasked else "b64_json"
    if form:
        # Past LiteLLM, which knows the parameter for DALL-E alone.
        arguments["extra_body"] = {**arguments.get("extra_body", {}), "response_format": form}
    return arguments


def png(image: Image) -> bytes:
    """Returns an image as the bytes of a PNG file."""
    file = io.BytesIO()
    image.pil().save(file, "PNG", compress_level=3)
    return file.getvalue()
