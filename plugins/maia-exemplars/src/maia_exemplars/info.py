"""The description of a layer's index: what its files hold, and the type of a unit's record."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from maia_core.plugin import QUANTILES
from maia_exemplars.maps import mapped
from maia_exemplars.measured import MeasuredLayer

DEFAULT_K = 32
"""Exemplars of a unit that are kept. The paper shows 15; an answer is tested on those that follow."""

HistogramName = Literal["map", "activation"]

Range = tuple[int, int]
"""Images of a data set by number: the first, and the one after the last."""


class IndexInfo(MeasuredLayer):
    """What the files of a layer's index hold: `sheet.json`.

    Attributes:
        version: Version of the file format; other versions are not read. In version 2 the histograms have scales.
        dataset: Name of the data set.
        dataset_fingerprint: Changes with its images or their order.
        images: Number of images of the data set.
        k: Exemplars per unit.
        looked: Positions of each image's map that were counted.
        sampled: Readable images of the sample.
        ranges: Images that were measured, ascending.
        count: Number of images measured.
        skipped: Number of unreadable images.
        fast: The floating point type of the statistics where it was a faster one than the network's ("bfloat16");
            exemplars are measured in the network's own type in any case.
    """

    version: Literal[1, 2] = 1
    dataset: str
    dataset_fingerprint: str
    images: int = Field(gt=0)
    k: int = Field(gt=0)
    looked: int = Field(gt=0)
    sampled: int = Field(ge=0)
    ranges: tuple[Range, ...]
    count: int = Field(ge=0)
    skipped: int = Field(ge=0)
    fast: str = ""

    @property
    def complete(self) -> bool:
        """True if the whole data set was measured, not a part of it."""
        return self.ranges == ((0, self.images),)

    @property
    def mapped(self) -> int:
        """Number of exemplars, the first ones, of which each unit's map is stored."""
        return mapped(self.units, self.k, self.shape[1:]) if self.has_map else 0


def record(k: int) -> np.dtype[np.void]:
    """Returns the type of a unit's record in `units.npy`.

    `places` and `values` are the exemplars, best first (place -1: there are fewer); `positions` is where the maximum
    lies in the flattened map; `lows` is the map's least value. `mean`, `squares` (sum of squared differences from the
    mean) and `quantiles` are the activation's. `NAME_top`, `NAME_high` and `NAME_end` (of its bins in the files)
    describe a histogram. `error` is the root mean square error of the faster pass; 0 without one.
    """
    histogram = [("top", "<i4"), ("high", "<f4"), ("end", "<i8")]
    return np.dtype(
        [
            *(("places", "<i8", (k,)), ("values", "<f4", (k,)), ("positions", "<i4", (k,)), ("lows", "<f4", (k,))),
            *(("mean", "<f8"), ("squares", "<f8"), ("quantiles", "<f8", (len(QUANTILES),)), ("error", "<f4")),
            *((f"{name}_{field}", kind) for name in ("map", "activation") for field, kind in histogram),
        ]
    )
