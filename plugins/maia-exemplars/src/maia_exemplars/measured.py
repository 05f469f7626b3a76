"""What the index asks of a model: a frozen description of its layers, and passes that yield their values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from maia_core.plugin import Data, RunError
from maia_exemplars.histogram import Histograms
from maia_exemplars.preprocess import Pixels, Preprocessing

Values = Any
"""The values of a layer for some images, as the model holds them (a tensor on its device): opaque to the index."""

Receive = Callable[[int, int, NDArray[np.float32], Values], None]
"""Takes the number of a layer (as in `Measurer.layers`), the number of the first image in the batch, the spatial maxima
of these images (float32 of shape (images, units), finite) and their values."""


class NotFiniteError(RunError):
    """The model gave a value that is not finite on at least one image of a pass.

    Attributes:
        layer: Name of the layer.
        images: Places of such images in the pass, as far as known.
    """

    def __init__(self, layer: str, images: Sequence[int] = ()) -> None:
        super().__init__(f"layer {layer} gave values that are not finite: check the weights and the images")
        self.layer, self.images = layer, sorted(images)


class MeasuredLayer(Data):
    """A layer as it is measured: all that decides its values, and the names of its units.

    Attributes:
        model: Name of the model.
        model_fingerprint: Changes with the model's weights, architecture or preprocessing.
        layer: Name of the layer.
        key: Tells the layer's values from those of any other layer of the model.
        shape: Shape of one image's values: (units, rows, columns), or (units,).
        kind: As in `maia_core.types.LayerInfo`.
        labels: Names of the units where they have names.
        preprocessing: Fields of the `Preprocessing`, as JSON.
        options: Options of the model that differ from its defaults (`weights`); None: not known.
        made_with: Versions of the software that measured it.
    """

    model: str
    model_fingerprint: str
    layer: str
    key: str
    shape: tuple[int, ...] = Field(min_length=1, max_length=3)
    kind: str = ""
    labels: tuple[str, ...] = ()
    preprocessing: dict[str, JsonValue] = Field(default_factory=dict)
    options: dict[str, JsonValue] | None = None
    made_with: dict[str, str] = Field(default_factory=dict)

    @property
    def units(self) -> int:
        """Number of units."""
        return self.shape[0]

    @property
    def has_map(self) -> bool:
        """True if a unit has a spatial map."""
        return len(self.shape) == 3

    @property
    def positions(self) -> int:
        """Positions of a unit's map; 1 without a map."""
        return math.prod(self.shape[1:])


class Counter(Protocol):
    """Counts values into histograms, wherever the values are."""

    def add(self, values: Values, positions: NDArray[np.int64] | None, highest: NDArray[np.float32]) -> None:
        """Counts the values of some images.

        Args:
            values: As `Measurer.read` hands them out.
            positions: Positions of each image's flattened map, int64 of shape (images, positions); None: all.
            highest: Not less than any value of each unit, float32 of shape (units,).
        """

    def fetch(self) -> Histograms:
        """Returns the histograms with everything counted so far."""


class Measurer(Protocol):
    """Measures some layers of one model. Whoever implements it can be indexed, with or without torch.

    Attributes:
        layers: The layers, in the order of computation.
        preprocess: How the model sees an image.
    """

    preprocess: Preprocessing

    @property
    def layers(self) -> Sequence[MeasuredLayer]: ...

    def read(self, pixels: Pixels, receive: Receive) -> None:
        """Makes one pass over a batch and hands each layer's values to `receive`, all images or some at a time.

        Args:
            pixels: What `Preprocessing.crop` returned, of all images.
            receive: Called during the pass; the values may be overwritten after it returns.

        Raises:
            NotFiniteError: the model gave values that are not finite; layers before may have been handed over.
        """

    def maps(self, values: Values, images: NDArray[np.intp], units: NDArray[np.intp]) -> NDArray[np.float32]:
        """Returns the maps of pairs of an image and a unit: float32 of shape (pairs, rows, columns)."""

    def counter(self, histograms: Histograms) -> Counter:
        """Returns a counter of this model's values that fills `histograms`."""

    def faster(self) -> Measurer | None:
        """Returns a copy that computes faster and less exactly (in bfloat16); None where there is none."""

    def close(self) -> None:
        """Frees the memory of a faster copy."""


@runtime_checkable
class IndexableModel(Protocol):
    """A `maia_core.protocols.Model` whose layers `maia exemplars` can index."""

    name: str
    fingerprint: str

    def measurer(self, layers: Sequence[str]) -> Measurer:
        """Returns a measurer of the named layers, each once.

        Raises:
            UsageError: there is no such layer; the message lists the nearest.
        """
