"""A copy of a network whose batch normalisations are part of the convolutions before them: fewer operations."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 1e-4
"""Largest difference of the outputs that folding may make, as a share of the largest output."""


def folded(module: nn.Module, run: Callable[[nn.Module], Tensor], keep: Collection[str]) -> nn.Module:
    """Returns a copy in which each batch normalisation is folded into the convolution whose output it takes.

    Args:
        module: The network, set to evaluation.
        run: Runs a network once on a fixed input and returns values to compare.
        keep: Names of modules whose own outputs are read: they stay as they are.

    Returns:
        The copy; without any folding where the values differ by more than rounding.
    """
    pairs = [pair for pair in _pairs(module, run) if not {*pair} & {*keep}]
    lean = copy.deepcopy(module)
    for first, second in pairs:
        convolution, norm = lean.get_submodule(first), lean.get_submodule(second)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            _replace(lean, first, fuse_conv_bn_eval(convolution, norm))
            _replace(lean, second, nn.Identity())
    with torch.inference_mode():
        before, after = run(module), run(lean)
    close = float((before - after).abs().max()) <= TOLERANCE * float(before.abs().max())
    return lean if close else copy.deepcopy(module)


def _pairs(module: nn.Module, run: Callable[[nn.Module], Tensor]) -> list[tuple[str, str]]:
    """Returns the names of convolutions and batch normalisations that follow each other and run once."""
    outputs: list[tuple[str, Tensor]] = []  # Holds the outputs, so that no other tensor takes the place of one.
    pairs: list[tuple[str, str]] = []
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def watch(part: nn.Module, inputs: Any, output: Any) -> None:
            calls[name] += 1
            if isinstance(part, nn.Conv2d):
                outputs.append((name, output))
            else:
                pairs.extend((convolution, name) for convolution, result in outputs if result is inputs[0])

        return watch

    watched = [(name, part) for name, part in module.named_modules() if isinstance(part, (nn.Conv2d, nn.BatchNorm2d))]
    handles = [part.register_forward_hook(hook(name)) for name, part in watched]
    try:
        with torch.inference_mode():
            run(module)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1]


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    owner, _, own = name.rpartition(".")
    setattr(module.get_submodule(owner), own, part)
