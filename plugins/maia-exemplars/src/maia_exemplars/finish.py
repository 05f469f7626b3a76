"""Turns the measurements of a layer into the contents of its files."""

from __future__ import annotations

from importlib import metadata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset
from maia_exemplars.histogram import scales as usual_scales
from maia_exemplars.info import IndexInfo, Range, record
from maia_exemplars.measures import LayerMeasures
from maia_exemplars.options import FAST
from maia_exemplars.sampling import positions_counted
from maia_exemplars.topk import NOWHERE
from maia_exemplars.write import Columns, Contents, activation_quantiles


class Finished(NamedTuple):
    """The measurements of a layer.

    Attributes:
        measures: Its statistics, exemplars and sample.
        dataset: The images.
        span: Which of them were measured.
        skipped: Numbers of the unreadable images.
        sampled: Numbers of the images of the sample, unreadable ones among them.
        error: Error of the faster precision, by unit; None where it was not used.
    """

    measures: LayerMeasures
    dataset: Dataset
    span: Range
    skipped: list[int]
    sampled: NDArray[np.int64]
    error: NDArray[np.float64] | None


def contents(finished: Finished) -> tuple[Contents, Columns]:
    """Returns the contents of the files, and the sample of the readable images."""
    statistics, best = finished.measures.statistics, finished.measures.best
    read = ~np.isin(finished.sampled, finished.skipped)
    info = _info(finished, int(read.sum()))
    if any((one.scales != usual_scales(info.units)).any() for one in statistics.histograms.values()):
        info = info.model_copy(update={"version": 2})

    def columns(first: int, last: int) -> NDArray[np.float32]:
        return finished.measures.sample.columns(first, last)[:, read]

    order = best.top.order()
    records = np.zeros(info.units, record(info.k))
    images = np.take_along_axis(best.top.places, order, 1)
    records["places"] = np.where(images == NOWHERE, -1, images)
    values = np.take_along_axis(best.top.values, order, 1)
    records["values"] = np.where(images == NOWHERE, np.nan, values)
    for name, array in (("positions", best.positions), ("lows", best.lows)):
        records[name] = np.take_along_axis(array, order, 1)
    maps = None if best.first is None else best.maps[np.arange(info.units)[:, None], best.first.order()]
    records["mean"], records["squares"] = statistics.moments.mean, statistics.moments.squares
    records["quantiles"] = activation_quantiles(info, statistics.activations, columns)
    records["error"] = 0 if finished.error is None else finished.error
    skipped = np.array(finished.skipped, np.int64)
    named = np.unique(np.concatenate([images[images != NOWHERE], finished.sampled, skipped]))
    result = Contents(
        info,
        records,
        maps,
        finished.sampled[read],
        skipped,
        statistics.histograms,
        {int(image): finished.dataset.ids[int(image)] for image in named},
    )
    return result, columns


def _info(finished: Finished, sampled: int) -> IndexInfo:
    layer, images = finished.measures.layer, len(finished.dataset)
    versions = {name: metadata.version(name) for name in ("maia-exemplars", "numpy")}
    measured = layer.model_copy(update={"made_with": layer.made_with | versions})
    return IndexInfo(
        **dict(measured),
        dataset=finished.dataset.name,
        dataset_fingerprint=finished.dataset.fingerprint,
        images=images,
        k=finished.measures.best.top.values.shape[1],
        looked=positions_counted(images, layer.positions, layer.units),
        sampled=sampled,
        ranges=(finished.span,),
        count=finished.measures.statistics.moments.count,
        skipped=len(finished.skipped),
        fast="" if finished.error is None else FAST,
    )
