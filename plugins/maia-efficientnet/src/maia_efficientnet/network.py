"""The network itself: the architecture's package, with readable names and safely loaded weights."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn


def build(variant: str, weights: Path) -> nn.Sequential:
    """Builds `stem`, `blocks`, `head`, `pool`, `flatten` and `classifier` in a row, which all have readable names.

    In evaluation the original forward pass is exactly this sequence (it drops nothing), but for one thing: the ReLU6
    after stem and head is split into the ReLU, which belongs to them, and the ceiling of 6 after it. The result is the
    same. A unit of the head reaches 6 so often that its highest images would all tie; below the ceiling they differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # its source holds invalid escapes, which compiling it for the first time reports
        from efficientnet_lite_pytorch import EfficientNet
    net = EfficientNet.from_name(f"efficientnet-{variant}")
    # weights_only: the file is data and cannot run code.
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    parts: dict[str, nn.Module] = {
        "stem": _activated(net._conv_stem, net._bn0),
        "stem_ceiling": nn.ReLU6(),
        "blocks": nn.Sequential(*net._blocks),
        "head": _activated(net._conv_head, net._bn1),
        "head_ceiling": nn.ReLU6(),
        "pool": net._avg_pooling,
        "flatten": nn.Flatten(),
        "classifier": net._fc,
    }
    module = nn.Sequential(OrderedDict(parts)).eval()
    _spare_copies(module)
    return module


def _spare_copies(module: nn.Module) -> None:
    """Spares the copies that the architecture's package makes around its convolutions; the values stay the same.

    Convolutions pad by themselves where all sides are padded alike (TensorFlow's "same" padding, which these networks
    were trained with, is uneven where a stride is 2), and rectifiers work in place.
    """
    for part in module.modules():
        padding = getattr(part, "static_padding", None)
        if isinstance(part, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            if left == right and top == bottom:
                part.padding, part.static_padding = (top, left), nn.Identity()
        if isinstance(part, (nn.ReLU, nn.ReLU6)):
            part.inplace = True


def _activated(conv: nn.Module, norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, activation=nn.ReLU()))
