"""Joins what several machines measured of one data set into one index."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import UsageError
from maia_exemplars.checkpoint import disk_errors_explained, locked
from maia_exemplars.folder import Index
from maia_exemplars.histogram import BINS, Histograms
from maia_exemplars.info import HistogramName, IndexInfo, Range, record
from maia_exemplars.layer import LayerIndex
from maia_exemplars.moments import Moments
from maia_exemplars.topk import NOWHERE
from maia_exemplars.write import Contents, activation_quantiles, put_in_place, write

SAME = {
    "model_fingerprint": "model, weights or preprocessing",
    "key": "layer",
    "dataset_fingerprint": "data set",
    "images": "number of images",
    "shape": "shape",
    "k": "number of exemplars (--k)",
    "looked": "number of positions",
}
"""What must be the same in all parts, and what it is called."""


def merge(parts: Sequence[Path], folder: Path) -> dict[str, IndexInfo]:
    """Merges indexes of different images of one data set.

    Exemplars, counts and histograms are those that one build of all the images would give; means and deviations too,
    but for rounding.

    Args:
        parts: Folders of indexes with the same layers.
        folder: Where the merged index goes; layers that it has already are refused.

    Returns:
        The description of each layer.

    Raises:
        UsageError: the parts do not fit together.
        RunError: the disk is full.
    """
    indexes = [Index(part) for part in parts]
    names = sorted({name for index in indexes for name in index.layers()})
    if not names:
        raise UsageError(f"{parts[0]} holds no exemplar index")
    if known := set(names) & set(Index(folder).layers()):
        raise UsageError(f"{folder} has the layer {min(known)} already; choose another folder")
    opened = {name: [index.layer(name) for index in indexes] for name in names}
    infos = {name: _merged_info(layers) for name, layers in opened.items()}
    if not all(info.count for info in infos.values()):
        raise UsageError(f"no image of {', '.join(map(str, parts))} could be read; add a part that has some")
    work = folder / ".merging"
    with disk_errors_explained(folder), locked(work, wait=False):
        for name, layers in opened.items():
            merged = work / layers[0].folder.name
            shutil.rmtree(merged, ignore_errors=True)
            _write(merged, infos[name], sorted(layers, key=lambda layer: layer.info.ranges))
            put_in_place(merged, folder)
        shutil.rmtree(work)
    return infos


def _merged_info(layers: Sequence[LayerIndex]) -> IndexInfo:
    first = layers[0].info
    for layer in layers[1:]:
        for field, called in SAME.items():
            if getattr(layer.info, field) != getattr(first, field):
                raise UsageError(f"{layer.folder} was built with another {called} than {layers[0].folder}")
    infos = [layer.info for layer in layers]
    return first.model_copy(
        update={
            "ranges": _joined(layers),
            "count": sum(info.count for info in infos),
            "skipped": sum(info.skipped for info in infos),
            "sampled": sum(info.sampled for info in infos),
            "fast": max(info.fast for info in infos),
        }
    )


def _joined(layers: Sequence[LayerIndex]) -> tuple[Range, ...]:
    spans = sorted((span, layer.folder) for layer in layers for span in layer.info.ranges)
    joined: list[Range] = []
    for (first, last), folder in spans:
        if joined and first < joined[-1][1]:
            raise UsageError(f"{folder} holds images {first} to {last - 1} of the data set, and so does another part")
        if joined and first == joined[-1][1]:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return tuple(joined)


def _write(folder: Path, info: IndexInfo, layers: Sequence[LayerIndex]) -> None:
    rows = [layer.units for layer in layers]
    moments = Moments.empty(info.units)
    for layer, row in zip(layers, rows, strict=True):
        moments.add(Moments(layer.info.count, row["mean"], row["squares"]))
    histograms: dict[str, Histograms] = {name: _histograms(layers, name) for name in layers[0].histograms}
    where = np.concatenate([layer.sample_images for layer in layers])
    ascending = np.argsort(where)

    def sample(first: int, last: int) -> NDArray[np.float32]:
        return np.concatenate([layer.sample[first:last] for layer in layers], axis=1)[:, ascending]

    places = np.concatenate([row["places"] for row in rows], axis=1)
    values = np.concatenate([row["values"] for row in rows], axis=1)
    order = np.lexsort((np.where(places < 0, NOWHERE, places), np.where(places < 0, np.inf, -values)), axis=1)
    order = order[:, : info.k]
    records = np.zeros(info.units, record(info.k))
    for name in ("places", "values", "positions", "lows"):
        records[name] = np.take_along_axis(np.concatenate([row[name] for row in rows], axis=1), order, 1)
    records["mean"], records["squares"] = moments.mean, moments.squares
    records["quantiles"] = activation_quantiles(info, histograms.get("activation"), sample)
    records["error"] = np.max([row["error"] for row in rows], axis=0)
    skipped = np.sort(np.concatenate([layer.skipped for layer in layers]))
    ids: dict[int, str] = {}
    for layer, row in zip(layers, rows, strict=True):
        own = np.unique(np.concatenate([row["places"].ravel(), layer.sample_images, layer.skipped]))
        own = own[own >= 0].tolist()
        ids |= dict(zip(own, layer.ids(own), strict=True))
    named = {*np.unique(records["places"]).tolist(), *where.tolist(), *skipped.tolist()} - {-1}
    named_ids = {place: ids[place] for place in named}
    contents = Contents(info, records, _maps(layers, order), where[ascending], skipped, histograms, named_ids)
    write(folder, contents, sample)


def _maps(layers: Sequence[LayerIndex], order: NDArray[np.intp]) -> NDArray[np.uint16] | None:
    info = layers[0].info
    if not info.mapped:
        return None
    merged = np.zeros((info.units, info.mapped, *info.shape[1:]), np.uint16)
    part, slot = np.divmod(order[:, : info.mapped], info.k)
    for number, layer in enumerate(layers):
        unit, rank = np.nonzero(part == number)
        if layer.maps is not None:
            merged[unit, rank] = layer.maps[unit, slot[unit, rank]]
    return merged


def _histograms(layers: Sequence[LayerIndex], name: HistogramName) -> Histograms:
    merged = Histograms.empty(layers[0].scales(name))
    for layer in layers:
        units = layer.units
        counts = np.zeros((layer.info.units, BINS), np.int32)
        for unit in range(layer.info.units):
            histogram = layer.histogram(name, unit)
            counts[unit, histogram.bins] = histogram.counts
        tops, high = np.array(units[f"{name}_top"]), np.array(units[f"{name}_high"])
        merged.merge(Histograms(counts, tops, high, layer.scales(name)))
    return merged
