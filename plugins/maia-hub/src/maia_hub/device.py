"""Device, dtype and free memory of a model."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Literal

from maia_core.plugin import UsageError, one_line

if TYPE_CHECKING:
    import torch

FAST_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Names of processor instructions that multiply bfloat16 numbers (x86, x86, ARM)."""

MEMORY_ERRORS = ("out of memory", "can't allocate memory", "not enough memory")
"""Texts of memory errors that have no class of their own: errors of the processor and of MPS."""

Network = Literal["language", "unet", "diffusion-transformer"]


def choose_device(name: str) -> torch.device:
    """Returns the device that `name` names.

    Args:
        name: A device in torch's words (`cpu`, `cuda:1`, `mps`), or `auto`: the accelerator of this machine, or the
            processor if there is none.

    Raises:
        UsageError: this machine has no such device.
    """
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    available = [accelerator.type, "cpu"] if accelerator else ["cpu"]
    try:
        # The device of a tensor has a number, also if the name has none.
        return (torch.zeros(1, device=available[0] if name == "auto" else name) + 1).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cause = one_line(error).split(". ")[0][:120]
        raise UsageError(
            f"device '{name}' cannot be used: {cause}; choose one of auto, {', '.join(available)}"
        ) from error


def choose_dtype(name: str, device: torch.device, network: Network) -> torch.dtype:
    """Returns the dtype that `name` names.

    Args:
        name: A dtype of torch, or `auto`: half precision on an accelerator, bfloat16 where the device computes with it;
            float32 on a processor, except for a language model on a processor that multiplies bfloat16 numbers.
        device: The device of the network.
        network: The kind of network. A UNet loses less in float16, in which a diffusion transformer overflows.
    """
    import torch

    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cpu":
        return torch.bfloat16 if network == "language" and _cpu_multiplies_bfloat16() else torch.float32
    if network == "unet" or (network == "language" and device.type == "mps"):
        return torch.float16
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def free_bytes(device: torch.device) -> int | None:
    """Returns the free memory of a device in bytes; None if the device does not report it."""
    import psutil
    import torch

    if device.type == "cpu":
        return int(psutil.virtual_memory().available)
    try:
        return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None
    except RuntimeError:
        return None


def free_memory(device: torch.device) -> None:
    """Collects garbage and returns the memory that torch caches to the device."""
    import torch

    gc.collect()
    if device.type not in ("cpu", "meta"):
        torch.get_device_module(device).empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error reports that memory ran out."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in MEMORY_ERRORS)


def _cpu_multiplies_bfloat16() -> bool:
    import torch

    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in FAST_BFLOAT16)
