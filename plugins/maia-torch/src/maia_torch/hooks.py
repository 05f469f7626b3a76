"""Reads layers' outputs during one forward pass, with hooks that live for that pass only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from maia_torch.layers import Layer
from maia_torch.outputs import tensor
from maia_torch.takes import Take


class _Reached(BaseException):
    """Ends a forward pass; no `Exception`, so that a network's own `except Exception` cannot swallow it."""


def read_outputs(module: nn.Module, batch: Tensor, wanted: Mapping[Layer, Take]) -> dict[Layer, list[Tensor]]:
    """Runs a module until the deepest wanted layer, and returns what the functions take of each layer that it reached.

    The functions get a layer's output in order (images, units, ...), before any readout.
    """
    by_module: dict[str, list[Layer]] = {}
    for layer in wanted:
        by_module.setdefault(layer.module, []).append(layer)
    taken: dict[Layer, list[Tensor]] = {}
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def read(module: nn.Module, args: Any, output: Any) -> None:
            calls[name] += 1
            for layer in by_module[name]:
                found = tensor(output, layer.part)
                if layer.call == calls[name] and found is not None:
                    taken[layer] = [_own(part, found) for part in wanted[layer](layer.layout.values(found))]
            if len(taken) == len(wanted):
                raise _Reached

        return read

    handles = [module.get_submodule(name).register_forward_hook(hook(name)) for name in by_module]
    try:
        module(batch)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return taken


def _own(part: Tensor, output: Tensor) -> Tensor:
    """Copies a view of a layer's output: it would keep all of it alive, and a later in-place step may overwrite it."""
    shared = part.untyped_storage().data_ptr() == output.untyped_storage().data_ptr()
    return part.clone() if shared else part
