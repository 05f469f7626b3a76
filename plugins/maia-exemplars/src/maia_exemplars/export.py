"""Indexes in the forms that other tools read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import QUANTILES, Dataset, Mask, PluginError, UsageError
from maia_exemplars.layer import LayerIndex, Unit, folder_name
from maia_exemplars.masks import active
from maia_exemplars.pictures import preprocessing, same_data
from maia_exemplars.prefetch import prefetched

THRESHOLDS = (0.95, 0.99, 0.995)
"""The quantiles of units' maps that are given as thresholds."""

AT_ONCE = 256
"""Units whose rows are made at once."""


def to_parquet(layers: Sequence[LayerIndex], folder: Path) -> list[Path]:
    """Writes `units.parquet`, a row for each unit, and `exemplars.parquet`, a row for each exemplar of each unit.

    Raises:
        PluginError: pyarrow is not installed.
        OSError: the folder cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PluginError("Parquet needs pyarrow: pip install 'maia-exemplars[parquet]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows in (("units", _units), ("exemplars", _exemplars)):
        path = folder / f"{name}.parquet"
        writer = None
        try:
            for layer in layers:
                for first in range(0, layer.info.units, AT_ONCE):
                    units = range(first, min(first + AT_ONCE, layer.info.units))
                    table = pyarrow.Table.from_pylist(list(rows(layer, units)), schema=_schema(pyarrow, name))
                    writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
                    writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
        written.append(path)
    return written


def _schema(pyarrow: Any, name: str) -> Any:
    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    unit = {"model": text, "layer": text, "unit": whole, "label": text}
    if name == "units":
        fields = unit | {"dataset": text, "images": whole, "skipped": whole, "mean": real, "std": real}
        fields |= {f"quantile_{quantile:g}": real for quantile in QUANTILES}
        fields |= {f"threshold_{quantile:g}": real for quantile in THRESHOLDS}
    else:
        fields = unit | {
            "rank": whole,
            "activation": real,
            "image": text,
            "place": whole,
            "row": whole,
            "column": whole,
        }
    return pyarrow.schema(list(fields.items()))


def _units(layer: LayerIndex, units: range) -> Iterator[dict[str, Any]]:
    info = layer.info
    for number in units:
        unit = layer.unit(number)
        known = unit.statistics(THRESHOLDS[0])
        row = _names(unit) | {"dataset": info.dataset, "images": info.count, "skipped": info.skipped}
        row |= {"mean": known.mean, "std": known.std}
        row |= {f"quantile_{q:g}": value for q, value in zip(QUANTILES, known.quantiles, strict=True)}
        yield row | {f"threshold_{q:g}": unit.threshold(q) for q in THRESHOLDS}


def _exemplars(layer: LayerIndex, units: range) -> Iterator[dict[str, Any]]:
    for number in units:
        unit = layer.unit(number)
        found = zip(unit.values.tolist(), unit.places.tolist(), unit.ids(), unit.positions, strict=True)
        for rank, (value, place, image, position) in enumerate(found, 1):
            row, column = position or (None, None)
            where = {"image": image, "place": place, "row": row, "column": column}
            yield _names(unit) | {"rank": rank, "activation": value} | where


def _names(unit: Unit) -> dict[str, Any]:
    info = unit.layer.info
    return {"model": info.model, "layer": info.layer, "unit": unit.number, "label": unit.label}


def to_milan(layer: LayerIndex, dataset: Dataset, folder: Path, units: Sequence[int], quantile: float) -> Path:
    """Writes the folder of a layer as MILAN and the MAIA paper's reference code read it.

    Row i is the i-th of `units`, which `units.npy` lists: the number of a unit is its row only if all are written. The
    masks are netdissect's, see `faded`. The first k exemplars are those whose maps are stored, 15 if not fewer were
    asked for. `images.npy`: uint8 of shape
    (units, k, 3, height, width), what the network saw; `masks.npy`: uint8 0 and 1 of shape (units, k, 1, height,
    width); `ids.csv`: places in the data set; `activations.csv`; `thresholds.csv`; `units.npy`. Where a unit has fewer
    exemplars, the rest is zero.

    Raises:
        UsageError: the data set is another one, the index keeps no maps to make masks from, or the layer's folder is
            there already.
        OSError: the folder cannot be written.
    """
    same_data(layer, dataset)
    if layer.maps is None:
        raise UsageError(f"the index of {layer.info.layer} keeps no maps, so there are no masks to export")
    preprocess = preprocessing(layer.info)
    height, width = preprocess.input
    target = folder / folder_name(layer.info.layer)
    if target.exists():
        raise UsageError(f"{target} is there already; choose another --out")
    target.mkdir(parents=True)
    k, chosen = layer.info.mapped, [layer.unit(number) for number in units]
    shape = (len(chosen), k)
    images = _new(target / "images.npy", (*shape, 3, height, width))
    masks = _new(target / "masks.npy", (*shape, 1, height, width))
    rows_of: dict[int, list[tuple[int, int]]] = {}
    for row, unit in enumerate(chosen):
        for rank, place in enumerate(unit.places[:k].tolist()):
            rows_of.setdefault(place, []).append((row, rank))
    thresholds = [unit.threshold(quantile) or 0.0 for unit in chosen]
    crops = prefetched(lambda place: preprocess.crop(dataset[place]), sorted(rows_of), ahead=64)
    for place, crop in zip(sorted(rows_of), crops, strict=True):
        for row, rank in rows_of[place]:
            images[row, rank] = crop.transpose(2, 0, 1)
            unit_map = chosen[row].map(rank)
            assert unit_map is not None
            masks[row, rank, 0] = faded(unit_map, thresholds[row], width, height)
    np.save(target / "units.npy", np.asarray(units, np.int64))
    records = layer.units[list(units)]
    np.savetxt(target / "ids.csv", records["places"][:, :k], "%i", ",")
    np.savetxt(target / "activations.csv", records["values"][:, :k], "%.5e", ",")
    np.savetxt(target / "thresholds.csv", thresholds, "%.5e", ",")
    return target


def faded(unit_map: NDArray[np.float32], threshold: float, width: int, height: int) -> Mask:
    """Returns the mask of a whole input as netdissect makes it: beyond its outer cells a map is zero.

    So a map fades to half within the outer half cell (`grid_sample` with zeros as padding). MAIA's own masks continue
    the outer cells unchanged, and are brighter there.
    """
    rows, columns = unit_map.shape
    x, y = width / columns, height / rows
    return active(np.pad(unit_map, 1), threshold, width, height, (-x, -y, width + x, height + y))


def to_clip_dissect(layer: LayerIndex, folder: Path) -> Path:
    """Writes activations on the uniform sample as CLIP-Dissect keeps them, but for the form of the file.

    `DATASET_MODEL_LAYER_max.npy` holds float32 of shape (images, units), `..._images.txt` the images' ids.
    CLIP-Dissect's own file is a pickle: `torch.save(torch.from_numpy(numpy.load(NPY)), PT)` makes it.

    Raises:
        OSError: the folder cannot be written.
    """
    info = layer.info
    folder.mkdir(parents=True, exist_ok=True)
    stem = "_".join(folder_name(part) for part in (info.dataset, info.model, info.layer))
    path = folder / f"{stem}_max.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(layer.sample.T), (1, 0), allow_pickle=False)
    ids = layer.ids(layer.sample_images.tolist())
    (folder / f"{stem}_images.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")
    return path


def _new(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Makes a file of zeros, which takes no memory while it is filled."""
    with suppress(FileNotFoundError):
        path.unlink()
    array: NDArray[np.uint8] = np.lib.format.open_memmap(path, "w+", np.uint8, shape, version=(1, 0))
    return array
