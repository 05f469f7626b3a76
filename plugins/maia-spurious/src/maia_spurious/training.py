"""Trains a classifier on a data set whose classes are paired with environments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from maia_core.plugin import PluginConfig, PluginRef, RunContext, write_atomically
from maia_exemplars.prefetch import BATCH, prefetched
from maia_spurious.cells import CellDataset
from maia_spurious.classifier import FILE, WEIGHTS, Description, assembled, network_head

if TYPE_CHECKING:
    from maia_spurious.network import Network
    from maia_torch import TorchModel

Tell = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""


class Training(PluginConfig):
    """How a classifier is trained."""

    base: str = "efficientnet-lite0"
    """The model that the network begins with."""
    layer: str = "blocks.15"
    """Its layer that the trained part reads."""
    units: int = Field(512, ge=0)
    """Number of trained units; 0: the layer's own units."""
    train: Literal["head", "all"] = "head"
    """What is trained: the `head` on the base as it is, or `all` weights."""
    epochs: int = Field(5, ge=1)
    """Number of passes over the training images."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate of AdamW."""
    weight_decay: float = Field(1e-4, ge=0)
    """Weight decay of AdamW."""
    batch: int = Field(64, ge=2)
    """Images per step."""


def train(
    folder: Path, settings: Training, options: dict[str, object], dataset: CellDataset, context: RunContext, tell: Tell
) -> Description:
    """Trains a classifier and writes it into a folder.

    Args:
        folder: Gets `classifier.json` and `weights.safetensors`; is made if need be.
        settings: What is trained, and how.
        options: Options of the base model.
        dataset: Images and classes.
        context: Builds the base; its seed decides initial weights and the order of images.
        tell: Is told of progress.

    Raises:
        UsageError: the base is not a torch model, or has no such layer.
    """
    description = Description(
        base=PluginRef.model_validate({**options, "name": settings.base}),
        layer=settings.layer,
        units=settings.units,
        classes=tuple(dataset.classes),
        trained=settings.train,
        settings={**settings.model_dump(), **origin(dataset, context)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        network, base = assembled(description, context)
        network.to(base.engine.device)
        labels = torch.from_numpy(np.ascontiguousarray(dataset.cells[:, 0]))
        if settings.train == "head":
            _train_head(network, _maps(network, base, dataset, tell), labels, settings, tell)
        else:
            _train_all(network, base, dataset, labels, settings, tell)
    folder.mkdir(parents=True, exist_ok=True)
    from safetensors.torch import save

    saved: nn.Module = network if settings.train == "all" else network_head(network)
    weights = {name: value.detach().cpu().contiguous() for name, value in saved.state_dict().items()}
    write_atomically(folder / WEIGHTS, save(weights))
    # The description comes last: a folder that has it is complete.
    write_atomically(folder / FILE, description.model_dump_json(indent=1).encode())
    return description


def origin(dataset: CellDataset, context: RunContext) -> dict[str, object]:
    """Returns what a classifier was trained from, beside its settings: images and seed."""
    return {"seed": context.seed, "dataset": dataset.name, "images": dataset.fingerprint}


def _maps(network: Network, base: TorchModel, dataset: CellDataset, tell: Tell) -> NDArray[np.float16]:
    """Returns the trunk's output for every image, float16 of shape (images, inputs, rows, columns), on disk."""
    import tempfile

    maps: NDArray[np.float16] | None = None
    network.eval()
    for start, pixels in _batches(base, dataset, range(len(dataset)), BATCH):
        with torch.inference_mode():
            found = network.trunk(base.engine.input(pixels)).to("cpu", torch.float16).numpy()
        if maps is None:
            with tempfile.TemporaryFile() as file:  # The mapping outlives the name and the handle.
                maps = np.memmap(file, np.float16, "w+", shape=(len(dataset), *found.shape[1:]))
        maps[start : start + len(found)] = found
        tell("images through the base", start + len(found), len(dataset))
    assert maps is not None
    return maps


def _train_head(network: Network, maps: NDArray[np.float16], labels: Tensor, settings: Training, tell: Tell) -> None:
    """Trains features and last layer on maps that the base gave."""
    trained = nn.Sequential(network.features, network.pool, network.dropout, network.last)
    device = network.last.weight.device

    def logits(chosen: list[int]) -> Tensor:
        found: Tensor = trained(torch.from_numpy(maps[chosen].astype(np.float32)).to(device))
        return found

    _fit(trained, logits, labels, settings, tell)


def _train_all(
    network: Network, base: TorchModel, dataset: CellDataset, labels: Tensor, settings: Training, tell: Tell
) -> None:
    """Trains all weights on the images."""

    def logits(chosen: list[int]) -> Tensor:
        (_, pixels), *_ = _batches(base, dataset, chosen, len(chosen))
        found: Tensor = network(base.engine.input(pixels))
        return found

    _fit(network, logits, labels, settings, tell)


def _fit(
    module: nn.Module, logits: Callable[[list[int]], Tensor], labels: Tensor, settings: Training, tell: Tell
) -> None:
    """Minimises the cross-entropy with AdamW, with a new order of the images in every epoch."""
    module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    steps = math.ceil(len(labels) / settings.batch) * settings.epochs
    step = 0
    for _ in range(settings.epochs):
        order = torch.randperm(len(labels)).tolist()
        for start in range(0, len(order), settings.batch):
            chosen = order[start : start + settings.batch]
            found = logits(chosen)
            loss = nn.functional.cross_entropy(found, labels[chosen].to(found.device))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            step += 1
            tell("training steps", step, steps)
    module.eval()


def _batches(
    base: TorchModel, dataset: CellDataset, order: Sequence[int], size: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yields where a batch begins in `order`, and its pixels, uint8 of shape (images, height, width, 3)."""
    crops = prefetched(lambda index: base.preprocess.crop(dataset[index]), order, ahead=2 * size)
    for start in range(0, len(order), size):
        yield start, np.stack(list(islice(crops, min(size, len(order) - start))))
