"""Functions that take from a layer's output the values that a pass keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maia_torch.layers import Layer

Take = Callable[[Tensor], Sequence[Tensor]]
"""What is kept of a layer's values, (images, units, rows, columns) or (images, units): tensors with images first."""

MAX_READOUT_VALUES = 1 << 25
"""Most values that a readout (directions, latents) computes at once: 128 MB."""


def take_maxima(layer: Layer, where: bool, with_values: bool, positions: NDArray[np.int64] | None) -> Take:
    """Returns what takes of a layer maxima, places, and values of shape (images, units, chosen)."""
    done = 0

    def take(values: Tensor) -> list[Tensor]:
        nonlocal done
        flat = values.flatten(2) if values.ndim == 4 else values[:, :, None]
        first, done = done, done + len(flat)
        parts = list(flat.max(2)) if where else [flat.amax(2)]
        if with_values and positions is not None:
            index = torch.from_numpy(positions[first:done]).to(flat.device)[:, None].expand(-1, flat.shape[1], -1)
            parts.append(flat.gather(2, index))
        elif with_values:
            parts.append(flat)
        return parts

    return take_from_all(layer, take)


def take_from_all(layer: Layer, take: Take) -> Take:
    """Returns what takes from all units of a layer; of a readout, which may have very many, some images at a time."""

    def all_units(raw: Tensor) -> Sequence[Tensor]:
        step = len(raw)
        if layer.readout is not None:
            positions = raw.shape[2:].numel()
            step = max(1, MAX_READOUT_VALUES // (layer.info.units * positions))
        parts = [take(_all(raw[first : first + step], layer)) for first in range(0, len(raw), step)]
        return parts[0] if len(parts) == 1 else [torch.cat(column) for column in zip(*parts, strict=True)]

    return all_units


def _all(raw: Tensor, layer: Layer) -> Tensor:
    values = raw if layer.readout is None else layer.readout.all(raw.float())
    return _fitted(values.float().softmax(1) if layer.softmax else values, layer)


def one_unit(raw: Tensor, layer: Layer, unit: int) -> Tensor:
    """Returns the values of one unit, of shape (images, rows, columns) or (images,)."""
    if layer.readout is not None and not layer.softmax:
        return _fitted(layer.readout.one(raw.float(), unit)[:, None], layer)[:, 0]
    return _all(raw, layer)[:, unit]


def _fitted(values: Tensor, layer: Layer) -> Tensor:
    """Turns maps of images of another size into those of the layer, by the maximum of what falls into a position."""
    if values.ndim != 4 or values.shape[2:] == layer.info.shape[1:]:
        return values
    return nn.functional.adaptive_max_pool2d(values, layer.info.shape[1:]) if layer.has_map else values.amax((2, 3))
