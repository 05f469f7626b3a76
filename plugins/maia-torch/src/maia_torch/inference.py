"""Guesses the preprocessing of a network that does not say what it wants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from maia_core.plugin import UsageError, one_line
from maia_exemplars.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

SIZES = (224, 256, 384, 299, 336, 448, 512, 128, 96, 64, 32, 28, 518, 560, 640)
"""Sides that are tried in turn."""

NAMES = ("image_size", "img_size", "input_size")
"""Attributes under which networks and their configurations keep the size of their input."""


def inferred(module: nn.Module, size: int | tuple[int, int] | None = None) -> Preprocessing:
    """Returns a preprocessing that the module can take.

    The size, where it is not given, is what the module or its configuration states, else the first of `SIZES` that it
    can take. The channels are those of its first convolution. Mean and standard deviation are ImageNet's (of grey
    images 0.5 and 0.5).

    Raises:
        UsageError: it takes none; the message is what it said of the last.
    """
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    grey = first is not None and first.in_channels == 1
    mean, std = ((0.5,), (0.5,)) if grey else (IMAGENET_MEAN, IMAGENET_STD)
    if size is not None:
        return Preprocessing(size, mean=mean, std=std)
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    cause = ""
    for height, width in dict.fromkeys([*_stated(module), *((side, side) for side in SIZES)]):
        image = torch.zeros(1, len(mean), height, width, dtype=like.dtype, device=like.device)
        try:
            with torch.inference_mode():
                module(image)
        except Exception as error:
            cause = one_line(error)
            continue
        return Preprocessing(height if height == width else (height, width), mean=mean, std=std)
    raise UsageError(f"the module takes images of none of the usual sizes; give its preprocessing. It said: {cause}")


def _stated(module: nn.Module) -> Iterator[tuple[int, int]]:
    """Yields the sizes that a module, its configuration or one of its outer parts states."""
    holders: list[Any] = [module, *module.children()]
    holders += [getattr(holder, name, None) for holder in tuple(holders) for name in ("config", "pretrained_cfg")]
    for holder in holders:
        for name in NAMES:
            value = holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
            sides = (value, value) if isinstance(value, int) else value
            if isinstance(sides, (tuple, list)) and len(sides) in (2, 3) and all(isinstance(s, int) for s in sides):
                height, width = sides[-2:]
                if height > 0 and width > 0:
                    yield height, width
