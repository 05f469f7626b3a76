"""Units that are not channels: functions of a layer's units, such as directions in its space.

All read a layer at every position of its map: x is the vector of the layer's units there (of a transformer: of one
patch's token). The arithmetic runs wherever the layer's output is; importing this module does not import torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import UsageError, content_id

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float32]


class Readout(ABC):
    """New units as a function of a layer's units at one position.

    Attributes:
        units: How many units come out.
        fingerprint: Changes whenever the function does.
        note: What a reader of the activations must know.
        assumed: What MAIA had to assume of a file that does not tell it; "" for nothing.
    """

    units: int
    fingerprint: str
    note: str
    assumed: str = ""

    def note_of(self, unit: int) -> str:
        """Returns the note of one unit."""
        return self.note

    @abstractmethod
    def all(self, values: Tensor) -> Tensor:
        """Turns float32 values of shape (images, units before, ...) into (images, units, ...)."""

    def one(self, values: Tensor, unit: int) -> Tensor:
        """Like `all`, for one unit: shape (images, ...)."""
        return self.all(values)[:, unit]


class Directions(Readout):
    """Each unit is <v, x> + b: the inner product of a layer's units with a vector, taken as it is given, and a bias."""

    def __init__(self, vectors: Array, biases: Array | None = None, origin: str = "a given vector") -> None:
        """Takes the vectors.

        Args:
            vectors: Float32 of shape (directions, units of the layer).
            biases: Float32 of shape (directions,), as linear probes have them; None: 0.
            origin: What the vectors are, for the note.
        """
        self.units, self.inputs = vectors.shape
        parts = [] if biases is None else [b"biases", biases.tobytes()]
        self.fingerprint = content_id(b"directions", str(vectors.shape).encode(), vectors.tobytes(), *parts)
        self.note = f"the inner product of the layer's units with {origin}, not normalised"
        self._lengths = np.linalg.norm(vectors, axis=1)
        self._biases = biases
        self._matrix = OnDevice(vectors)
        self._bias = None if biases is None else OnDevice(biases)

    def note_of(self, unit: int) -> str:
        """Returns the note of one direction: its length, its bias, and the meaning of the sign."""
        bias = "" if self._biases is None else f", plus a bias of {self._biases[unit]:.4g}"
        return (
            f"{self.note} (its length is {self._lengths[unit]:.4g}){bias}; positive values lie along the vector, "
            "negative ones against it"
        )

    def all(self, values: Tensor) -> Tensor:
        """See `Readout`."""
        return self._product(values, slice(None))

    def one(self, values: Tensor, unit: int) -> Tensor:
        """See `Readout`."""
        return self._product(values, slice(unit, unit + 1))[:, 0]

    def _product(self, values: Tensor, units: slice) -> Tensor:
        result = product(self._matrix(values)[units], values)
        return result if self._bias is None else result + spread(self._bias(values)[units], values)


class Applied(Readout):
    """Whatever a user's own module computes from the vectors of a layer: (vectors, units before) to (vectors, units).

    A module with a method `encode` (as autoencoders have) is asked for that; of several results the first is taken.
    """

    def __init__(self, module: Callable[[Tensor], Any], inputs: int) -> None:
        """Takes over the module: it is set to evaluation.

        Raises:
            UsageError: it cannot take such vectors, or gives something else than a row of numbers for each.
        """
        import torch

        if isinstance(module, torch.nn.Module):
            module.eval()
        self.inputs = inputs
        self._function: Callable[[Tensor], Any] = getattr(module, "encode", module)
        state = module.state_dict() if isinstance(module, torch.nn.Module) else {}
        like = next((value for value in state.values() if value.is_floating_point()), torch.zeros(()))
        try:
            with torch.inference_mode():
                shape = tuple(self._encoded(torch.zeros(2, inputs, device=like.device, dtype=like.dtype)).shape)
        except Exception as error:
            raise UsageError(f"the module cannot take vectors of {inputs} units: {error}") from error
        if len(shape) != 2 or shape[0] != 2:
            raise UsageError(f"the module must turn vectors (2, {inputs}) into (2, units), not into {shape}")
        self.units = shape[1]
        self._dtype, self._device = like.dtype, like.device
        parts = [f"{name} {tuple(value.shape)}".encode() for name, value in state.items()]
        weights = [value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy() for value in state.values()]
        self.fingerprint = content_id(repr(module).encode(), *parts, *(array.tobytes() for array in weights))
        self.note = f"a unit of {type(module).__name__}, which reads the layer"

    def all(self, values: Tensor) -> Tensor:
        """See `Readout`."""
        rows = values.movedim(1, -1)
        found = self._encoded(rows.reshape(-1, self.inputs).to(self._device, self._dtype)).float()
        return found.to(values.device).reshape(*rows.shape[:-1], self.units).movedim(-1, 1)

    def _encoded(self, rows: Tensor) -> Tensor:
        values = self._function(rows)
        result: Tensor = values[0] if isinstance(values, (tuple, list)) else values
        return result


class OnDevice:
    """A constant that is copied to a device once, when it is first needed there."""

    def __init__(self, array: Array) -> None:
        self._array = array
        self._copies: dict[Any, Tensor] = {}

    def __call__(self, like: Tensor) -> Tensor:
        import torch

        if like.device not in self._copies:
            self._copies[like.device] = torch.from_numpy(self._array).to(like.device)
        return self._copies[like.device]


def product(matrix: Tensor, values: Tensor) -> Tensor:
    """Multiplies (units, units before) with values of shape (images, units before, ...)."""
    import torch

    return torch.einsum("ku,nu...->nk...", matrix, values)


def spread(row: Tensor, values: Tensor) -> Tensor:
    """Shapes (units,) so that it meets (images, units, ...)."""
    return row.view(1, -1, *[1] * (values.ndim - 2))
