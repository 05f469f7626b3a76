"""The options that all torch models share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from maia_core.plugin import PluginConfig

RUNNING = ("model", "device", "channels_last", "compile", "quantile")
"""Options that do not tell one index from another: the name's other half, and how a model runs."""


class TorchOptions(PluginConfig):
    """How a torch model runs, whatever it is."""

    quantile: float = Field(0.99, ge=0, le=1)
    """Masks keep what exceeds this quantile of the unit's map over the data set."""
    device: str = "auto"
    """Where it runs: `auto` (an accelerator if there is one, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: str | None = None
    """Floating point type of weights and input: `float32`, `bfloat16`, `float16`; that of the weights if not set."""
    channels_last: bool = True
    """The memory format in which most convolutional networks are faster."""
    token: Literal["patches", "class", "all"] = "patches"
    """At which tokens a transformer's layers are read: `patches` (a map), `class`, `all` (both without a map)."""
    compile: bool = False
    """Whether torch.compile compiles the network's blocks: pays on a GPU; a block with a layer that is read runs as
    it is."""

    @property
    def running(self) -> dict[str, Any]:
        """Arguments of `TorchModel`: how it runs, and with which options it was made."""
        return {
            "options": self.model_dump(mode="json", exclude_defaults=True, exclude=set(RUNNING)),
            "quantile": self.quantile,
            "device": self.device,
            "dtype": self.dtype,
            "channels_last": self.channels_last,
            "compiled": self.compile,
            "token": self.token,
        }
