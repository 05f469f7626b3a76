"""Autoencoders that are attached to a layer: which layer a file means, and whether it fits."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maia_core.plugin import Dataset, Image, UnreadableImage, UsageError, content_id
from maia_exemplars.units import listed
from maia_sae import Autoencoder, Fit, FitCounter, Home, Readout
from maia_torch.layers import Layer
from maia_torch.network import Network

if TYPE_CHECKING:
    from torch import Tensor

CHECKED = 64
"""Images on which the fit is checked when an autoencoder is attached."""

CENSUS = 512
"""Images on which dead and dense latents are looked for."""

COLUMNS = ("images", "positions", "explained_variance", "l0", "frequency")
"""The attributes of `Fit`, as the cache holds them."""

BLOCK = re.compile(r"(?:^|\.)(?:blocks|resblocks|layers?|h|encoder_layer)[._](\d+)$|(?:^|\.)encoder_layer_(\d+)$")
"""The name of a transformer's block, in timm, open_clip, torchvision and transformers."""

HOOKS = {"hook_resid_post": "", "hook_resid_pre": "", "hook_mlp_out": "mlp", "hook_attn_out": "attn"}
"""Modules inside of a block whose output a hook of ViT-Prisma and SAELens reads; "" is the block."""


def fitting(layers: Sequence[Layer], units: int) -> str:
    """Returns which layers have so many units, in words."""
    names = [layer.name for layer in layers if layer.info.units == units and layer.info.kind != "classes"]
    return f"layers with {units} units: {listed(names)}" if names else f"no layer has {units} units"


def home_layer(home: Home, layers: Sequence[Layer], units: int, path: str) -> Layer:
    """Returns the layer that an autoencoder's file names.

    Args:
        home: What the file says.
        layers: The network's layers.
        units: Units that the autoencoder reads.
        path: The file, for messages.

    Raises:
        UsageError: the file names none, the network lacks it, or it has another number of units.
    """
    others = fitting(layers, units)
    if not home.layer:
        raise UsageError(f"{path} does not say which layer it reads: write LAYER:sae={path}:NUMBER; {others}")
    named = [layer for layer in layers if is_home(layer, home)]
    if not named:
        raise UsageError(f"{path} reads {home.layer}, which MAIA does not find here: name the layer; {others}")
    exact = [layer for layer in named if layer.info.units == units]
    if not exact:
        raise UsageError(f"{path} reads {named[0].name}, which has {named[0].info.units} units here; {others}")
    return exact[0]


def is_home(layer: Layer, home: Home) -> bool:
    """Says whether a layer is the one that a file names, by its own name or by that of a hook."""
    if not home.layer or home.layer in (layer.name, layer.module):
        return bool(home.layer)
    numbers = re.findall(r"\d+", home.layer)
    hook = next((hook for hook in HOOKS if home.layer.endswith(hook)), "")
    if len(numbers) != 1 or ("hook_" in home.layer and not hook):
        return False
    inside = HOOKS.get(hook, "")
    number = int(numbers[0]) - (hook == "hook_resid_pre")
    name = layer.module.removesuffix(f".{inside}") if inside and layer.module.endswith(f".{inside}") else layer.module
    found = BLOCK.search(name)
    return found is not None and int(found[1] or found[2]) == number and (name != layer.module) == bool(inside)


def sampled(dataset: Dataset, count: int) -> Iterator[Image]:
    """Yields images that lie evenly spread over a data set, without those that cannot be read."""
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)).tolist():
        try:
            yield dataset[index]
        except UnreadableImage:
            continue


def measured(
    network: Network, layer: Layer, readouts: Sequence[tuple[Readout, Autoencoder | None]], count: int
) -> list[Fit]:
    """Returns how latents fit a layer on images of the run's data set, from the cache if they are there.

    Args:
        network: The model; it has a run's context.
        layer: The layer that they read, without a readout.
        readouts: The latents, with the autoencoder that decodes them if there is one.
        count: Images.
    """
    assert network.context is not None
    dataset = network.context.dataset
    texts = (network.fingerprint, layer.key, dataset.fingerprint, str(count), *(one.fingerprint for one, _ in readouts))
    known = content_id(*(text.encode() for text in texts))
    file = Path(network.context.cache) / "maia-torch" / "fits" / f"{known}.npz"
    if (cached := _cached(file, len(readouts))) is not None:
        return cached
    counters = [FitCounter(*readout) for readout in readouts]

    def add(values: Tensor) -> list[Tensor]:
        for counter in counters:
            counter.add(values)
        return []

    for _, pixels in network.batches(list(sampled(dataset, count))):
        network.engine.read(pixels, {layer: add})
    fits = [counter.fit() for counter in counters]
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as opened:
        np.savez(opened, *(np.array([getattr(fit, name) for fit in fits]) for name in COLUMNS))
    Path(opened.name).replace(file)
    return fits


def _cached(file: Path, count: int) -> list[Fit] | None:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            columns = [arrays[f"arr_{number}"] for number in range(len(COLUMNS))]
    except (OSError, ValueError, KeyError):
        return None
    if any(len(column) != count for column in columns):
        return None
    rows = zip(*columns, strict=True)
    return [Fit(int(row[0]), int(row[1]), float(row[2]), float(row[3]), row[4]) for row in rows]
