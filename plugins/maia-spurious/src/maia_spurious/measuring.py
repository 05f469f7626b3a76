"""Measures a layer over a split of a data set, once: the result is kept in a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from maia_core.plugin import UsageError, content_id, write_atomically
from maia_exemplars.prefetch import BATCH, prefetched
from maia_spurious.cells import CellDataset
from maia_spurious.rows import Measured
from maia_torch import TorchModel


def measured(
    model: TorchModel, layer: str, dataset: CellDataset, folder: Path, tell: Callable[[int, int], None]
) -> Measured:
    """Measures all units of a layer on all images, or reads what was measured before.

    Args:
        model: The network.
        layer: The layer whose units are studied.
        dataset: The images.
        folder: Keeps one file per network, layer and data set.
        tell: Is told how many images of all are done.

    Raises:
        UsageError: the layer has no maps, or the network's classes are not the data set's.
    """
    studied, logits = model.layer(layer), model.layer("logit")
    if logits.info.units != len(dataset.classes):
        raise UsageError(
            f"{model.name} has {logits.info.units} classes, but {dataset.name} has {len(dataset.classes)}: choose a "
            "network that was trained on these classes"
        )
    if len(studied.info.shape) != 3:
        raise UsageError(f"layer {layer} of {model.name} has no maps; choose a layer of shape (units, rows, columns)")
    if model.classes and tuple(model.classes) != tuple(dataset.classes):
        theirs, ours = ", ".join(model.classes), ", ".join(dataset.classes)
        raise UsageError(
            f"{model.name} names its classes {theirs}, but {dataset.name} names them {ours}: choose a network that was "
            "trained on these classes, in this order"
        )
    key = content_id(f"{model.fingerprint}/{studied.key}/{dataset.fingerprint}".encode())
    file = folder / f"{dataset.name}-{key[:12]}.npz"
    ids = list(dataset.ids)
    if file.is_file():
        with np.load(file, allow_pickle=False) as stored:
            found = Measured(stored["features"], stored["activations"], stored["predicted"], dataset.cells, ids)
        if found.features.shape == (len(ids), studied.info.units):
            return found
    crops = prefetched(lambda index: model.preprocess.crop(dataset[index]), range(len(ids)), ahead=2 * BATCH)
    means, maxima, classes = [], [], []
    for start in range(0, len(ids), BATCH):
        pixels = np.stack(list(islice(crops, min(BATCH, len(ids) - start))))
        values = model.engine.read(
            pixels,
            {studied: lambda raw: [raw.mean((-2, -1)), raw.amax((-2, -1))], logits: lambda raw: [raw.argmax(1)]},
        )
        mean, maximum = values[studied]
        means.append(mean)
        maxima.append(maximum)
        classes.append(values[logits][0])
        tell(start + len(pixels), len(ids))
    found = Measured(
        np.concatenate(means).astype(np.float32),
        np.concatenate(maxima).astype(np.float32),
        np.concatenate(classes).astype(np.int64),
        dataset.cells,
        ids,
    )
    buffer = io.BytesIO()
    np.savez(buffer, features=found.features, activations=found.activations, predicted=found.predicted)
    write_atomically(file, buffer.getvalue())
    return found
