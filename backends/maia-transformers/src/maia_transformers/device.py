"""Where a model runs, and in which type of number."""

from __future__ import annotations

import torch

from maia_core.plugin import UsageError, one_line

ACCELERATORS = ("cuda", "xpu", "mps")
"""In the order in which `auto` takes them."""

FAST_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Names of processors' instructions that multiply bfloat16 numbers (x86, x86, ARM)."""

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


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Returns the type that `wanted` names; `auto`: bfloat16 where `device` computes with it.

    Otherwise float16 on an accelerator and float32 on a processor, where float16 is slow.
    """
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        return torch.bfloat16 if _processor_has_bfloat16() else torch.float32
    return torch.bfloat16 if device.type == "xpu" else torch.float16


def free(device: torch.device) -> None:
    """Hands memory that torch keeps for later back to an accelerator."""
    if device.type in ACCELERATORS:
        getattr(torch, device.type).empty_cache()


def no_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory does not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in SAID_OF_MEMORY)


def _available(name: str) -> bool:
    return bool(getattr(torch, name).is_available())


def _processor_has_bfloat16() -> bool:
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in FAST_BFLOAT16)
