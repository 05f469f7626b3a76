"""How many images a provider takes in one request, how large, and about how many tokens each is.

Only what goes over the wire counts here: providers make larger pictures smaller by themselves, so that more pixels than
`max_side` would cost time and show the model nothing more. Encoded in base64 a picture is a third larger than its file.
"""

from __future__ import annotations

from typing import NamedTuple

from maia_litellm.prices import entry
from maia_vlm.packing import ImageLimits

MB = 1_000_000


class Takes(NamedTuple):
    """What one request may hold, and the tokens of a small image (a run's are mostly 224 to 512 pixels wide)."""

    images: ImageLimits
    tokens: int


OPENAI = Takes(ImageLimits(count=500, max_side=2048, max_bytes=15 * MB, total_bytes=34 * MB), 300)
"""OpenAI, guide "Images and vision", input requirements: 500 images and 50 MB a request; larger ones than 2048 pixels
are scaled down."""

ANTHROPIC = Takes(ImageLimits(count=100, max_side=1568, max_bytes=int(3.7 * MB), total_bytes=22 * MB), 350)
"""Anthropic, guide "Vision", general limits: 100 images per request (600 for models with a window beyond 200,000
tokens), 5 MB per image and 32 MB per request in base64; above 1568 pixels it scales down; tokens are
width x height / 750."""

GEMINI = Takes(ImageLimits(count=900, max_side=3072, max_bytes=int(5.2 * MB), total_bytes=14 * MB), 300)
"""Google, "Image understanding": 900 images per prompt for the model that takes fewest, 7 MB per image and 20 MB per
request with inline data; 258 tokens up to 384 pixels, and as much for each tile of a larger one (newer models: up to
1120)."""

AZURE = Takes(ImageLimits(count=50, max_side=2048, max_bytes=15 * MB, total_bytes=34 * MB), 300)
"""Microsoft, "Azure OpenAI quotas and limits": 20 MB per image; the number varies with the model, 50 is taken here."""

MISTRAL = Takes(ImageLimits(count=8, max_side=1540, max_bytes=7 * MB), 500)
"""Mistral, "Vision": 8 images a request, 10 MB each."""

UNKNOWN = Takes(ImageLimits(count=20, min_side=32, max_side=1024, max_bytes=3 * MB, total_bytes=14 * MB), 800)
"""Cautious values for everybody else: small servers refuse tiny images and run out of memory over large ones."""

BY_PROVIDER = {
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "azure": AZURE,
    "mistral": MISTRAL,
}
ROUTED = {"openai": OPENAI, "anthropic": ANTHROPIC, "google": GEMINI, "mistralai": MISTRAL}
"""Those whose models OpenRouter passes requests on to, as it names them."""

WIDE_WINDOW = 200_000
"""Anthropic's models with a wider window than this take more images."""


def takes(provider: str, model: str, own: bool = True) -> Takes:
    """Returns what a model takes in one request; `own`: at the provider's own address."""
    if provider == "openrouter":
        return ROUTED.get(model.partition("/")[0], UNKNOWN)
    if not own:
        # Who speaks a provider's protocol at an address of his own need not have its limits.
        return UNKNOWN
    if provider == "anthropic" and entry(provider, model).get("max_input_tokens", 0) > WIDE_WINDOW:
        return Takes(ANTHROPIC.images.model_copy(update={"count": 600}), ANTHROPIC.tokens)
    return BY_PROVIDER.get(provider, UNKNOWN)
