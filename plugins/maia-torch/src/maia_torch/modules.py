"""Checks that a module can be read at all, takes it out of what hides its parts, and fingerprints it."""

from __future__ import annotations

import hashlib
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from maia_core.plugin import UsageError, one_line
from maia_torch.torchscript import ScriptPart


def hidden_parts(module: nn.Module) -> list[str]:
    """Returns the names of the parts of a TorchScript module whose own parts cannot be read; "" is the whole."""
    return [name for name, part in module.named_modules() if isinstance(part, ScriptPart) and part.hides_parts]


def readable(module: nn.Module, name: str = "the network") -> nn.Module:
    """Returns a module in evaluation whose parts torch's hooks reach.

    Raises:
        UsageError: it has no such parts, or its weights are not in memory; the message says what to give instead.
    """
    if isinstance(module, torch.jit.ScriptModule):
        module = ScriptPart(module)
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"{name} is a {type(module).__name__}, not a torch.nn.Module; give the module it was made from"
        )
    for weight, tensor in chain(module.named_parameters(), module.named_buffers()):
        if tensor.is_meta and hasattr(module, "hf_device_map"):
            raise UsageError(
                f"{name} keeps weights out of memory ({weight}); load it without device_map and offloading"
            )
        if tensor.is_meta or is_lazy(tensor):
            raise UsageError(f"{name} has weights without values, such as {weight}; load or initialise them first")
    try:
        return module.eval()
    except NotImplementedError as error:
        raise UsageError(
            f"{name} is an exported program, in which no module is left ({one_line(error)}); give the module that was "
            "exported, or torch.export.unflatten(program)"
        ) from error


def fingerprint(module: nn.Module, preprocessing: str) -> str:
    """Returns a hash of a network's architecture, its weights and a text: 32 hexadecimal digits."""
    digest = hashlib.blake2b(f"{type(module).__qualname__}\n{module}\n{preprocessing}".encode(), digest_size=16)
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
