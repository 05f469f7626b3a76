"""The options that both roles share, and what must be installed for either."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field

from maia_core.plugin import PluginConfig, PluginError

NEEDED = ("torch", "torchvision", "transformers", "huggingface_hub", "jinja2")
"""Packages without which nothing loads."""

SMALLEST_SIDE = 28
"""Pixels: narrower images are padded. One merged patch of Qwen's models, which also refuse sides beyond 200 to 1."""


class ModelOptions(PluginConfig):
    """Which model, and how it is loaded."""

    model: str = Field(min_length=1)
    """A folder with the model's files, or its name on the Hugging Face hub, which is fetched when it is first used."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub."""
    device: str = "auto"
    """Where it runs, in torch's words: `cpu`, `cuda`, `cuda:1`, `mps`; `auto`: an accelerator where there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; `auto`: bfloat16 where the device computes with it, else float16 on an accelerator, float32
    on a processor."""
    offload: bool = False
    """Spread the weights over all accelerators, memory and disk instead of one device (needs accelerate)."""
    context_tokens: int | None = Field(None, gt=0)
    """The model's window, if it is not what its configuration says, or less memory shall be used."""
    max_pictures: int | None = Field(None, gt=0)
    """Most pictures in one conversation; more images than that are tiled onto numbered sheets. For models that were
    trained on single pictures: 1."""
    max_image_side: int = Field(1024, ge=SMALLEST_SIDE)
    """Pixels; larger images are made smaller."""


def missing() -> list[str]:
    """Returns what is not installed of what is needed."""
    return [name for name in NEEDED if find_spec(name) is None]


def require(role: str) -> None:
    """Checks that the packages are there.

    Raises:
        PluginError: names what is missing, and the line that installs it.
    """
    if lacking := missing():
        raise PluginError(f"{role} 'transformers' needs {' and '.join(lacking)}: pip install maia-transformers")
