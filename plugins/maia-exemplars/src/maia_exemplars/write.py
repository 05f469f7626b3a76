"""Writes the files of a layer, see `layer.py`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import QUANTILES
from maia_exemplars.histogram import Histograms
from maia_exemplars.info import IndexInfo
from maia_exemplars.layer import INFO

Columns = Callable[[int, int], NDArray[np.float32]]
"""Takes the first and the one after the last of some units, returns their activations on the sample: float32 of shape
(units, sampled)."""

AT_ONCE = 2**20
"""Most numbers of the sample that are in memory at once."""


@dataclass(frozen=True)
class Contents:
    """What a layer's files hold.

    Attributes:
        info: The description.
        records: Of all units, see `maia_exemplars.info.record`; `write` fills in where their histograms end.
        maps: See `maia_exemplars.maps`; None where none are kept.
        sample_places: Places of the sample's images, ascending.
        skipped: Places of the unreadable images, ascending.
        histograms: By name.
        ids: Ids of all images whose places are given, by place.
    """

    info: IndexInfo
    records: NDArray[np.void]
    maps: NDArray[np.uint16] | None
    sample_images: NDArray[np.int64]
    skipped: NDArray[np.int64]
    histograms: Mapping[str, Histograms]
    ids: Mapping[int, str]


def write(folder: Path, contents: Contents, sample: Columns) -> None:
    """Writes a layer's files into a new folder; all are on the disk when it returns.

    Raises:
        OSError: the folder exists or cannot be written, or the disk is full.
    """
    folder.mkdir(parents=True)
    arrays: dict[str, NDArray[Any]] = {"sample_places": contents.sample_images, "skipped": contents.skipped}
    if contents.maps is not None:
        arrays["maps"] = contents.maps
    for name, histograms in contents.histograms.items():
        bins, counts, ends = _sparse(histograms)
        arrays |= {f"{name}_bins": bins, f"{name}_counts": counts}
        if contents.info.version == 2:
            arrays[f"{name}_scales"] = histograms.scales
        fields = {"top": histograms.tops, "high": histograms.high, "end": ends}
        for field, values in fields.items():
            contents.records[f"{name}_{field}"] = values
    arrays["units"] = contents.records
    places = sorted(contents.ids)
    texts = [contents.ids[place].encode("utf-8", "replace") for place in places]
    arrays["id_places"] = np.array(places, np.int64)
    arrays["id_ends"] = np.cumsum([len(text) for text in texts], dtype=np.int64)
    arrays["id_letters"] = np.frombuffer(b"".join(texts), np.uint8)
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        with open(folder / f"{name}.npy", "xb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            # Not by numpy, whose error does not tell that the disk is full.
            file.write(array.reshape(-1).view(np.uint8).data)
            _sync(file)
    _write_sample(folder / "sample.npy", contents.info, sample)
    with open(folder / INFO, "xb") as file:
        file.write(json.dumps(contents.info.model_dump(mode="json"), indent=1).encode())
        _sync(file)


def activation_quantiles(info: IndexInfo, activations: Histograms | None, sample: Columns) -> NDArray[np.float64]:
    """Returns the activation at each of `QUANTILES`, of shape (units, quantiles): exact if the sample is everything.

    Not a number where no image was measured.
    """
    if activations is not None:
        return np.stack([activations.quantile(quantile) for quantile in QUANTILES], axis=1).astype(np.float64)
    if not info.sampled:
        return np.full((info.units, len(QUANTILES)), np.nan)
    step = max(1, AT_ONCE // info.sampled)
    rows = [sample(first, min(first + step, info.units)) for first in range(0, info.units, step)]
    return np.concatenate([np.quantile(part.astype(np.float64), QUANTILES, axis=1).T for part in rows])


def put_in_place(source: Path, folder: Path) -> None:
    """Moves a layer's folder into an index, in place of the one that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    old = source.with_name(f"{source.name}.old")
    if (folder / source.name).exists():
        os.rename(folder / source.name, old)
    os.rename(source, folder / source.name)
    shutil.rmtree(old, ignore_errors=True)


def _sparse(histograms: Histograms) -> tuple[NDArray[np.uint16], NDArray[np.int32], NDArray[np.int64]]:
    """Returns the bins that are not empty and their counts, unit after unit, and where each unit's end."""
    bins: list[NDArray[np.uint16]] = []
    counts: list[NDArray[np.int32]] = []
    for row in histograms.counts:
        used = np.flatnonzero(row)
        bins.append(used.astype(np.uint16))
        counts.append(row[used])
    return np.concatenate(bins), np.concatenate(counts), np.cumsum([len(used) for used in bins], dtype=np.int64)


def _write_sample(path: Path, info: IndexInfo, sample: Columns) -> None:
    with open(path, "xb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (info.units, info.sampled)}
        np.lib.format.write_array_header_1_0(file, header)
        step = max(1, AT_ONCE // max(info.sampled, 1))
        for first in range(0, info.units, step):
            file.write(np.ascontiguousarray(sample(first, min(first + step, info.units)), "<f4").data)
        _sync(file)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
