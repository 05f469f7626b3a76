"""Turns what a build measured of a layer into what its files hold."""

from __future__ import annotations

import dataclasses
import json
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset
from maia_torch.index.fast import FAST
from maia_torch.index.layer import Range, Sheet, record
from maia_torch.index.measures import Best, Statistics
from maia_torch.index.sampling import looks
from maia_torch.index.topk import NOWHERE
from maia_torch.index.write import Columns, Contents, activation_quantiles
from maia_torch.layers import Layer, unit_label

if TYPE_CHECKING:
    from maia_torch.model import TorchModel


class Finished(NamedTuple):
    """What a build found of a layer.

    Attributes:
        model: The model.
        layer: Its layer.
        dataset: The images.
        span: Which of them were measured.
        skipped: Places of those that could not be read.
        sampled: Places of the sample, unreadable ones among them.
        statistics: Of all images.
        best: The exemplars.
        error: What the faster precision missed, by unit; None where there was none.
    """

    model: TorchModel
    layer: Layer
    dataset: Dataset
    span: Range
    skipped: list[int]
    sampled: NDArray[np.int64]
    statistics: Statistics
    best: Best
    error: NDArray[np.float64] | None


def contents(found: Finished, sample: Columns) -> tuple[Contents, Columns]:
    """Returns what the files hold, and the sample of the images that could be read."""
    read = ~np.isin(found.sampled, found.skipped)
    sheet = _sheet(found, int(read.sum()))

    def columns(first: int, last: int) -> NDArray[np.float32]:
        return sample(first, last)[:, read]

    order = found.best.top.order()
    records = np.zeros(sheet.units, record(sheet.k))
    places = np.take_along_axis(found.best.top.places, order, 1)
    records["places"] = np.where(places == NOWHERE, -1, places)
    values = np.take_along_axis(found.best.top.values, order, 1)
    records["values"] = np.where(places == NOWHERE, np.nan, values)
    for name, kept in (("positions", found.best.positions), ("lows", found.best.lows)):
        records[name] = np.take_along_axis(kept, order, 1)
    maps = None
    if found.best.first is not None:
        maps = found.best.maps[np.arange(sheet.units)[:, None], found.best.first.order()]
    records["mean"], records["squares"] = found.statistics.moments.mean, found.statistics.moments.squares
    records["quantiles"] = activation_quantiles(sheet, found.statistics.activations, columns)
    records["error"] = 0 if found.error is None else found.error
    histograms = {"map": found.statistics.maps, "activation": found.statistics.activations}
    named = np.unique(np.concatenate([places[places != NOWHERE], found.sampled, np.array(found.skipped, np.int64)]))
    made = Contents(
        sheet,
        records,
        maps,
        found.sampled[read],
        np.array(found.skipped, np.int64),
        {name: one for name, one in histograms.items() if one is not None},
        {int(place): found.dataset.ids[int(place)] for place in named},
    )
    return made, columns


def _sheet(found: Finished, sampled: int) -> Sheet:
    model, layer, images = found.model, found.layer, len(found.dataset)
    labels: tuple[str, ...] = ()
    if layer.info.kind == "classes" and model.classes:
        labels = tuple(unit_label(unit, layer, model.classes) for unit in range(layer.info.units))
    return Sheet(
        model=model.name,
        model_fingerprint=model.fingerprint,
        layer=layer.name,
        key=layer.key,
        dataset=found.dataset.name,
        dataset_fingerprint=found.dataset.fingerprint,
        images=images,
        shape=layer.info.shape,
        kind=layer.info.kind,
        k=found.best.top.values.shape[1],
        looked=looks(images, layer.positions, layer.info.units),
        sampled=sampled,
        ranges=(found.span,),
        count=found.statistics.moments.count,
        skipped=len(found.skipped),
        fast="" if found.error is None else FAST,
        labels=labels,
        preprocessing=json.loads(json.dumps(dataclasses.asdict(model.preprocess))),
        options=model.options,
        made_with={name: metadata.version(name) for name in ("maia-torch", "torch", "numpy")},
    )
