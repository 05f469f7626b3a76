"""Where a pipeline runs, in which type of number, and how much memory is left there."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

from maia_core.plugin import UsageError, one_line

ACCELERATORS = ("cuda", "xpu", "mps")
"""In the order in which `auto` takes them."""

SAID_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""What errors say that have no class of their own: those of the processor and of MPS."""


def choose_device(wanted: str) -> torch.device:
    """Returns the device that `wanted` names; `auto`: an accelerator if there is one, else the processor.

    Raises:
        UsageError: there is no such device here.
    """
    if wanted == "auto":
        wanted = next((name for name in ACCELERATORS if _available(name)), "cpu")
    try:
        # The tensor's device has its number, where the name has none.
        return (torch.zeros(1, device=wanted) + 1).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ", ".join([name for name in ACCELERATORS if _available(name)] + ["cpu"])
        cause = one_line(error).split(". ")[0][:120]
        raise UsageError(f"device '{wanted}' cannot be used ({cause}); here: auto, {here}") from error


def choose_dtype(wanted: str, device: torch.device, *, unet: bool) -> torch.dtype:
    """Returns the type that `wanted` names; `auto`: float32 on a processor, else what the network was made for.

    Args:
        wanted: `auto`, or a type of torch.
        device: Where it is computed.
        unet: Whether the network is a UNet, which loses less in float16; transformers overflow in it.
    """
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device.type == "cpu":
        return torch.float32
    if unet or (device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)):
        return torch.float16
    return torch.bfloat16


def free_bytes(device: torch.device) -> int | None:
    """Returns how much memory is left on a device; None where that cannot be told."""
    try:
        if device.type == "cuda":
            return torch.cuda.mem_get_info(device)[0]
        if device.type == "cpu":
            lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
            [left] = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
            return int(left) * 1024
    except (OSError, ValueError, RuntimeError):
        pass
    return None


def collect(device: torch.device) -> None:
    """Frees what nobody refers to, and hands memory that torch keeps for later back to an accelerator."""
    gc.collect()
    if device.type in ACCELERATORS:
        getattr(torch, device.type).empty_cache()


def no_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory does not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in SAID_OF_MEMORY)


def _available(name: str) -> bool:
    return bool(getattr(torch, name).is_available())
