"""One pass over a data set that measures all units of a layer, and its cache on disk."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maia_core.context import Context
from maia_core.errors import UnreadableImage, UsageError
from maia_core.files import write_atomically
from maia_core.protocols import Dataset
from maia_core.types import content_id
from maia_torch.layers import Layer
from maia_torch.prefetch import prefetched
from maia_torch.quantiles import TailQuantile, kept_positions

if TYPE_CHECKING:
    from maia_torch.model import TorchModel

VERSION = 1
"""Counts the changes of what a pass computes: a cache file of another version is not used."""


@dataclass(frozen=True)
class Scan:
    """What a pass measured. Memory: 4 bytes for each image and unit (1,200 images and 1,280 units: 6 MB).

    Attributes:
        indices: Place in the data set of each image that could be read, int64 of shape (images,).
        maxima: Activation of each image and unit (spatial maximum), float32 of shape (images, units).
        thresholds: The quantile of each unit's map over all images, float32 of shape (units,); None without maps.
        skipped: Ids of the images that could not be read.
    """

    indices: NDArray[np.int64]
    maxima: NDArray[np.float32]
    thresholds: NDArray[np.float32] | None
    skipped: tuple[str, ...]


def scan(model: TorchModel, layer: Layer, dataset: Dataset, context: Context | None) -> Scan:
    """Measures all units of a layer on a data set, or reads from the run's cache what was measured before.

    Raises:
        UsageError: the data set is empty or holds no readable image.
    """
    if context is None:
        return measure(model, layer, dataset)
    source = {
        "version": VERSION,
        "model": model.fingerprint,
        "layer": layer.key,
        "dataset": dataset.fingerprint,
        "images": len(dataset),
        "units": layer.info.units,
        "quantile": model.quantile,
    }
    path = context.cache / "torch" / f"{content_id(json.dumps(source, sort_keys=True).encode())}.npz"
    try:
        if (found := load(path, source)) is not None:
            return found
    except CORRUPT as error:
        context.warn(f"the cache file {path} is broken and is computed again ({type(error).__name__})")
    measured = measure(model, layer, dataset)
    try:
        save(path, measured, source)
    except OSError as error:
        context.warn(f"the measurements of layer {layer.name} cannot be cached in {path.parent}: {error.strerror}")
    return measured


def measure(model: TorchModel, layer: Layer, dataset: Dataset) -> Scan:
    """Runs the pass. Images are read and cropped in threads while the network computes.

    Memory beyond the result: a few batches, the batch's maps, and what `quantiles` keeps.
    """
    units, positions = layer.info.units, layer.positions
    kept = kept_positions(len(dataset), positions, units, model.quantile)
    tail = TailQuantile(units, len(dataset) * kept, model.quantile) if layer.has_map and len(dataset) else None
    low, high = np.full(units, np.inf, np.float32), np.full(units, -np.inf, np.float32)
    skipped: list[str] = []
    indices: list[int] = []
    maxima: list[NDArray[np.float32]] = []
    for batch, pixels in _batches(model, dataset, skipped):
        indices += batch
        if tail is None:
            maxima.append(model.engine.maxima(pixels, layer))
            continue
        chosen = None if kept == positions else _positions(batch, positions, kept)
        maximum, values = model.engine.maxima_and_maps(pixels, layer, chosen)
        maxima.append(maximum)
        tail.add(values)
        low, high = np.minimum(low, values.min(axis=1)), np.maximum(high, maximum.max(axis=0))
    if not indices:
        raise UsageError(f"the data set {dataset.name} holds no readable image")
    thresholds = None if tail is None else _below_ceiling(tail.result(), low, high)
    return Scan(np.asarray(indices, np.int64), np.concatenate(maxima), thresholds, tuple(skipped))


def _below_ceiling(
    thresholds: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Keeps a threshold just below the unit's greatest value.

    A unit that often reaches its ceiling (6 after ReLU6) has it as its quantile, and no value would exceed it: its
    masks would be dark where it is most active. A unit that never changes keeps its dark masks.
    """
    return np.minimum(thresholds, high - np.float32(1e-4) * (high - low))


def _positions(batch: list[int], positions: int, kept: int) -> NDArray[np.int64]:
    """Draws positions for each image: the same ones whenever the image is measured."""
    return np.stack([np.random.default_rng(index).choice(positions, kept, replace=False) for index in batch])


def _batches(model: TorchModel, dataset: Dataset, skipped: list[str]) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    """Yields places and pixels of the readable images; ids of the others are appended to `skipped`."""
    from maia_torch.model import BATCH

    def read(index: int) -> tuple[int, NDArray[np.uint8] | None]:
        try:
            return index, model.preprocess.crop(dataset[index])
        except UnreadableImage:
            return index, None

    indices: list[int] = []
    crops: list[NDArray[np.uint8]] = []
    for index, crop in prefetched(read, range(len(dataset)), ahead=2 * BATCH):
        if crop is None:
            skipped.append(dataset.ids[index])
            continue
        indices.append(index)
        crops.append(crop)
        if len(crops) == BATCH:
            yield indices, np.stack(crops)
            indices, crops = [], []
    if crops:
        yield indices, np.stack(crops)


# --- the cache file: arrays and JSON in one .npz, no pickles --------------------------------------------------------

CORRUPT = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)
"""What reading a broken file may raise."""


def save(path: Path, found: Scan, source: dict[str, object]) -> None:
    """Writes a pass and what it was computed from; another process sees the whole file or none.

    Raises:
        OSError: the folder cannot be written.
    """
    meta = json.dumps({"source": source, "skipped": found.skipped}).encode()
    arrays: dict[str, NDArray[Any]] = {
        "indices": found.indices,
        "maxima": found.maxima,
        "meta": np.frombuffer(meta, np.uint8),
    }
    if found.thresholds is not None:
        arrays["thresholds"] = found.thresholds
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())


def load(path: Path, source: dict[str, object]) -> Scan | None:
    """Reads what `save` wrote; None if there is no such file.

    Raises:
        One of `CORRUPT`: the file is broken, or was computed from something else than `source`.
    """
    if not path.exists():
        return None
    with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
        meta = json.loads(file["meta"].tobytes())
        indices, maxima = file["indices"], file["maxima"]
        thresholds = file.get("thresholds")
    if meta["source"] != source or maxima.shape != (len(indices), source["units"]) or not math.isfinite(maxima.sum()):
        raise ValueError("computed from something else")
    return Scan(indices, maxima, thresholds, tuple(meta["skipped"]))
