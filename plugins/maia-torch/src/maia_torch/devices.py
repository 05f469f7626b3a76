"""Where a network runs, and in which floating point type."""

from __future__ import annotations

import torch
from torch import nn

from maia_core.plugin import UsageError
from maia_hub.device import choose_device


def moved(module: nn.Module, device: str | torch.device | None, dtype: str | torch.dtype | None) -> nn.Module:
    """Moves a module to a device and a floating point type; None leaves it as it is.

    Raises:
        UsageError: there is no such device or type.
    """
    if isinstance(dtype, str):
        named = getattr(torch, dtype, None)
        if not (isinstance(named, torch.dtype) and named.is_floating_point):
            raise UsageError(f"dtype is float32, bfloat16 or float16, not '{dtype}'")
        dtype = named
    if isinstance(device, str):
        device = choose_device(device)
    return module.to(device=device, dtype=dtype)
