"""Reads layers' outputs during one forward pass, with hooks that live for that pass only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from maia_torch.layers import Layer
from maia_torch.outputs import tensor
from maia_torch.takes import Take


class _Reached(BaseException):
    """Ends a forward pass; no `Exception`, so that a network's own `except Exception` cannot swallow it."""


def read_outputs(
    module: nn.Module, batch: Tensor, wanted: Sequence[tuple[int, Mapping[Layer, Take]]]
) -> list[dict[Layer, list[Tensor]]]:
    """Runs a module until the deepest wanted layer, and returns what the functions take of each layer that it reached.

    Args:
        module: The network.
        batch: Its input: the images of all requests, one request after the other.
        wanted: The requests: each one's number of images, and the functions that take from a layer's output. A
            function gets the values of its own images in order (images, units, ...), before any readout.
    """
    by_module: dict[str, list[Layer]] = {}
    for layer in dict.fromkeys(layer for _, takes in wanted for layer in takes):
        by_module.setdefault(layer.module, []).append(layer)
    taken: list[dict[Layer, list[Tensor]]] = [{} for _ in wanted]
    missing = sum(len(takes) for _, takes in wanted)
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def read(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal missing
            calls[name] += 1
            for layer in by_module[name]:
                found = tensor(output, layer.part)
                if layer.call == calls[name] and found is not None:
                    missing -= _take(layer, found, wanted, taken)
            if not missing:
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


def _take(
    layer: Layer,
    output: Tensor,
    wanted: Sequence[tuple[int, Mapping[Layer, Take]]],
    taken: Sequence[dict[Layer, list[Tensor]]],
) -> int:
    """Has every request that wants a layer take from it; returns how many do."""
    values = layer.layout.values(output)
    parts = torch.split(values, [images for images, _ in wanted]) if len(wanted) > 1 else [values]
    asking = [
        (takes[layer], part, into)
        for (_, takes), part, into in zip(wanted, parts, taken, strict=True)
        if layer in takes
    ]
    for take, part, into in asking:
        into[layer] = [_own(each, output) for each in take(part)]
    return len(asking)


def _own(part: Tensor, output: Tensor) -> Tensor:
    """Copies a view of a layer's output: it would keep all of it alive, and a later in-place step may overwrite it."""
    shared = part.untyped_storage().data_ptr() == output.untyped_storage().data_ptr()
    return part.clone() if shared else part
