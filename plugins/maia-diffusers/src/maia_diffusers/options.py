"""The options that the generator and the editor share, and what must be installed for either."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from maia_core.plugin import PluginConfig, PluginError

NEEDED = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub")
"""Packages without which nothing loads."""

TOLERANCE = 1
"""How far a pixel's value (0 to 255) may depend on the batch, in float32 on a processor."""


def _sides(value: Any) -> Any:
    """Reads `512`, `"512"`, `"768x512"` and `[768, 512]` as (width, height)."""
    if isinstance(value, str):
        value = [part.strip() for part in value.lower().split("x")]
    elif isinstance(value, int):
        value = [value]
    return value * 2 if isinstance(value, list) and len(value) == 1 else value


Side = Annotated[int, Field(ge=8, le=8192)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_sides)]
"""Width and height in pixels."""


class PipelineOptions(PluginConfig):
    """Which model, how it is loaded, and how it draws."""

    model: str = Field(min_length=1)
    """A folder in diffusers' format, or its name on the Hugging Face hub, which is fetched when it is first used."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub."""
    variant: str = ""
    """Which of the model's sets of weights, such as `fp16`; empty: the plain one."""
    device: str = "auto"
    """Where it runs, in torch's words: `cpu`, `cuda`, `cuda:1`, `mps`; `auto`: an accelerator where there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the numbers; `auto`: float32 on a processor, else float16 for a UNet and bfloat16 for a transformer."""
    scheduler: str = ""
    """Another sampler of those that fit the model, such as `DPMSolverMultistep`; empty: the model's own."""
    steps: int | None = Field(None, gt=0)
    """Denoising steps; the pipeline's default where it is not set. Distilled models (Turbo, schnell) need 1 to 4."""
    guidance: float | None = Field(None, ge=0, allow_inf_nan=False)
    """How closely the text is followed; the pipeline's default where it is not set, 0 for distilled models."""
    negative_prompt: str = ""
    """What images should not show."""
    params: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Further arguments of the pipeline's call, such as `true_cfg_scale` or `max_sequence_length`."""
    batch: int = Field(4, gt=0, le=256)
    """Images that are made at once; halved where memory does not suffice."""
    exact: bool = False
    """Make images one by one, so that one is the same to the bit whatever else was asked for (see the README)."""
    offload: Literal["none", "model", "sequential"] = "none"
    """What waits in the machine's memory instead of the accelerator's: nothing, each part of the model until it is used
    (`model`), or each layer (`sequential`: least memory, slow)."""
    slicing: bool = False
    """Decode the images of a batch one after the other: less memory."""
    tiling: bool = False
    """Decode large images in tiles: less memory, seams may be seen."""
    safety: bool = True
    """Use the safety checker of models that have one. An image that it blanks is drawn again with another seed."""
    redraws: int = Field(3, ge=0, le=20)
    """How often such an image is drawn again before its prompt is refused."""
    idle_seconds: float = Field(600, gt=0, allow_inf_nan=False)
    """The model leaves memory after this time without use, and is loaded again when it is needed."""


def require(role: str) -> None:
    """Checks that the packages are there.

    Raises:
        PluginError: names what is missing, and the line that installs it.
    """
    if lacking := [name for name in NEEDED if find_spec(name) is None]:
        raise PluginError(f"{role} 'diffusers' needs {' and '.join(lacking)}: pip install maia-diffusers")
