"""The network of a trained classifier: a part of another network, units, mean over places, classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from maia_core.plugin import UsageError


class _Reached(BaseException):
    """Carries the output of the last layer that is needed out of a pass."""

    def __init__(self, value: Tensor) -> None:
        self.value = value


class Trunk(nn.Module):
    """A network up to one of its layers: the rest is not computed.

    Attributes:
        base: The network.
        layer: Name of the module whose output is returned.
    """

    def __init__(self, base: nn.Module, layer: str) -> None:
        super().__init__()
        self.base = base
        self.layer = layer

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns the layer's output for pixels of shape (images, 3, height, width)."""

        def reached(module: nn.Module, inputs: Any, output: Any) -> None:
            raise _Reached(output)

        hook = self.base.get_submodule(self.layer).register_forward_hook(reached)
        try:
            self.base(pixels)
        except _Reached as end:
            if not isinstance(end.value, Tensor) or end.value.ndim != 4:
                shape = tuple(end.value.shape) if isinstance(end.value, Tensor) else type(end.value).__name__
                raise UsageError(
                    f"layer {self.layer} returns {shape}; choose a layer of shape (images, units, rows, columns)"
                ) from None
            return end.value
        finally:
            hook.remove()
        raise UsageError(f"layer {self.layer} is not reached in a pass; choose another one")


class Head(nn.Module):
    """What is trained on top: units at every place, their mean, dropout and one weight per unit and class.

    Attributes:
        features: A 1 x 1 convolution with a rectifier, or nothing where the trunk's own units are used.
        last: The linear layer, one row per class.
    """

    def __init__(self, inputs: int, units: int, classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.features: nn.Module = nn.Sequential(nn.Conv2d(inputs, units, 1), nn.ReLU()) if units else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(units or inputs, classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Returns the logits, shape (images, classes), of maps of shape (images, inputs, rows, columns)."""
        pooled = self.features(maps).mean((-2, -1))
        logits: Tensor = self.last(self.dropout(pooled))
        return logits


class Network(nn.Sequential):
    """Trunk and head; its layer `features` has the units that are kept or removed."""

    def __init__(self, trunk: Trunk, head: Head) -> None:
        super().__init__()
        self.trunk = trunk
        self.features = head.features
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = head.dropout
        self.last = head.last


def units_of(trunk: Trunk, size: tuple[int, int]) -> int:
    """Returns how many units the trunk's layer has, found with one blank image of a height and width."""
    like = next(trunk.parameters())
    with torch.inference_mode():
        return int(trunk(torch.zeros(1, 3, *size, device=like.device, dtype=like.dtype)).shape[1])
