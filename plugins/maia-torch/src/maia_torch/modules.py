"""Checks that a module can be read at all, takes it out of what hides its parts, and fingerprints it."""

from __future__ import annotations

import hashlib
import re
import sys
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from maia_core.plugin import UsageError, one_line
from maia_torch.torchscript import ScriptPart


def hidden_parts(module: nn.Module) -> list[str]:
    """Returns the names of the parts of a TorchScript module whose own parts cannot be read; "" is the whole."""
    return [name for name, part in module.named_modules() if isinstance(part, ScriptPart) and part.hides_parts]


def quantises_batches(module: nn.Module) -> bool:
    """Returns whether a network quantises activations as it runs: one range then holds for all images of a batch."""

    def does(part: nn.Module) -> bool:
        if isinstance(part, ScriptPart):
            return re.search(r"quantized::\w*dynamic", part.code) is not None
        if isinstance(part, torch.fx.GraphModule):
            return any(re.search("dynamic|choose_qparams", str(node.target)) for node in part.graph.nodes)
        return ".quantized.dynamic" in type(part).__module__

    return any(map(does, module.modules()))


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


def fingerprint(module: nn.Module, text: str) -> str:
    """Returns a hash of a network's architecture, its state and a text: 32 hexadecimal digits."""
    digest = hashlib.blake2b(f"{type(module).__qualname__}\n{module}\n{text}".encode(), digest_size=16)
    for name, value in module.state_dict().items():
        _add(digest, name, value)
    return digest.hexdigest()


def settings(module: nn.Module) -> dict[str, str]:
    """Returns hashes of all that decides a network's values beside its state, by name.

    These are buffers that are not saved, hooks, and plain attributes of classes that no installed package has. Those
    that a pass changes are counters and stored results, which decide nothing.
    """
    state = module.state_dict().keys()
    found: dict[str, object] = {name: value for name, value in module.named_buffers() if name not in state}
    for name, part in module.named_modules():
        for number, hook in enumerate(chain(part._forward_hooks.values(), part._forward_pre_hooks.values())):
            found[f"{name} hook {number}"] = _code_of(hook)
        file = getattr(sys.modules.get(type(part).__module__), "__file__", None) or ""
        if "site-packages" not in file:
            found |= {f"{name}.{k}": v for k, v in vars(part).items() if not k.startswith("_") and k != "training"}
    digests = {name: hashlib.blake2b(digest_size=16) for name, value in found.items() if _is_plain(value)}
    for name, digest in digests.items():
        _add(digest, name, found[name])
    return {name: digest.hexdigest() for name, digest in sorted(digests.items())}


def _add(digest: hashlib.blake2b, name: str, value: object) -> None:
    if isinstance(value, Tensor):
        digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode("utf-8", "replace"))
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    elif _is_plain(value):
        digest.update(f"\n{name} {value!r}".encode("utf-8", "replace"))


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return _is_plain([*value.keys(), *value.values()])
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | complex | str | bytes | Tensor)


def _code_of(function: Any) -> tuple[object, ...]:
    """Returns what tells one function from another: its name, its code, and the plain values that it uses."""
    function = getattr(function, "__func__", function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if (code := getattr(function, "__code__", None)) is None:
        return (name,)
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return name, code.co_code, *filter(_is_plain, [*code.co_consts, *cells])
