"""Units that are not channels: directions in a layer's space, and latents of a sparse autoencoder that reads it.

Both read a layer at every position of its map: x is the vector of the layer's units there (of a transformer: of one
patch's token). The arithmetic runs wherever the layer's output is; importing this module does not import torch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import UsageError, content_id

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.float32]

NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")
"""What an autoencoder may do to its input; see `Encoder`."""


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

    @abstractmethod
    def all(self, values: Tensor) -> Tensor:
        """Turns float32 values of shape (images, units before, ...) into (images, units, ...)."""

    def one(self, values: Tensor, unit: int) -> Tensor:
        """Like `all`, for one unit: shape (images, ...)."""
        return self.all(values)[:, unit]


class Directions(Readout):
    """Each unit is the inner product <v, x> of a layer's units with a vector v, which is taken as it is given."""

    def __init__(self, vectors: Array) -> None:
        """Takes the vectors: float32 of shape (directions, units of the layer)."""
        self.units, self.inputs = vectors.shape
        self.fingerprint = content_id(b"directions", str(vectors.shape).encode(), vectors.tobytes())
        self.note = "the inner product of the layer's units with a given vector, not normalised"
        self._matrix = _OnDevice(vectors)

    def all(self, values: Tensor) -> Tensor:
        """See `Readout`."""
        return _product(self._matrix(values), values)

    def one(self, values: Tensor, unit: int) -> Tensor:
        """See `Readout`."""
        return _product(self._matrix(values)[unit : unit + 1], values)[:, 0]


@dataclass(frozen=True)
class Encoder:
    """The encoder of a sparse autoencoder: z = W (n(x) - c) + b, then an activation.

    Attributes:
        weights: W, float32 of shape (latents, units of the layer).
        bias: b, float32 of shape (latents,).
        centre: c, float32 of shape (units of the layer,): the decoder's bias where the encoder subtracts it, else 0.
        activation: `relu`: max(z, 0) (Bricken et al., Towards Monosemanticity, 2023). `topk`: max(z, 0) for the `k`
            largest z of a position, else 0 (Gao et al., Scaling and Evaluating Sparse Autoencoders, 2024).
            `jumprelu`: z where z > threshold, else 0 (Rajamanoharan et al., Jumping Ahead, 2024).
        k: Latents that stay in `topk`.
        threshold: Float32 of shape (latents,), for `jumprelu`.
        normalize: n, over the units of a position, as SAELens names it. `none`: x. `layer_norm`: x minus its mean, over
            its standard deviation (of a sample) plus 1e-5. `constant_norm_rescale`: x at the length sqrt(units).
    """

    weights: Array
    bias: Array
    centre: Array
    activation: str = "relu"
    k: int = 0
    threshold: Array | None = None
    normalize: str = "none"

    def __post_init__(self) -> None:
        if self.weights.ndim != 2:
            raise UsageError(f"the encoder's weights are a matrix, not of shape {self.weights.shape}")
        latents, inputs = self.weights.shape
        shapes = {"b_enc": (self.bias, latents), "b_dec": (self.centre, inputs)}
        if self.threshold is not None:
            shapes["threshold"] = (self.threshold, latents)
        for name, (array, length) in shapes.items():
            if array.shape != (length,):
                raise UsageError(
                    f"{name} of the sparse autoencoder has the shape {array.shape}; its weights need ({length},)"
                )
        if self.activation not in ("relu", "topk", "jumprelu"):
            raise UsageError(f"the activation of a sparse autoencoder is relu, topk or jumprelu, not {self.activation}")
        if self.activation == "topk" and not 0 < self.k <= latents:
            raise UsageError(f"topk keeps 1 to {latents} latents, not {self.k}: state k")
        if self.activation == "jumprelu" and self.threshold is None:
            raise UsageError("jumprelu needs a threshold for each latent")
        if self.normalize not in NORMALIZATIONS:
            raise UsageError(f"normalize is one of {', '.join(NORMALIZATIONS)}, not {self.normalize}")


class Latents(Readout):
    """The latents of a sparse autoencoder, by the formula of `Encoder`."""

    def __init__(self, encoder: Encoder, assumed: str = "") -> None:
        self.assumed = assumed
        self.units, self.inputs = encoder.weights.shape
        self.encoder = encoder
        threshold = np.zeros(self.units, np.float32) if encoder.threshold is None else encoder.threshold
        with np.errstate(over="ignore", invalid="ignore"):
            bias = encoder.bias - encoder.weights @ encoder.centre
        if not np.isfinite(bias).all():
            raise UsageError("b_enc minus its weights times b_dec is not finite: the weights are too large for float32")
        arrays = (encoder.weights, bias, threshold)
        self.fingerprint = content_id(
            f"latents {encoder.activation} {encoder.k}{_suffix(encoder)}".encode(),
            *(np.ascontiguousarray(a).tobytes() for a in arrays),
        )
        self.note = f"a latent of a sparse autoencoder ({encoder.activation}), 0 where it is off"
        self._weights, self._bias, self._threshold = map(_OnDevice, arrays)

    def all(self, values: Tensor) -> Tensor:
        """See `Readout`."""
        z = self._before(values, slice(None))
        if self.encoder.activation == "topk":
            return z.clamp(min=0).where(z >= self._least(z), 0)
        return self._active(z, slice(None))

    def one(self, values: Tensor, unit: int) -> Tensor:
        """See `Readout`."""
        if self.encoder.activation == "topk":  # whether one is among the largest takes them all
            z = self._before(values, slice(None))
            one = z[:, unit]
            return one.clamp(min=0).where(one >= self._least(z)[:, 0], 0)
        only = slice(unit, unit + 1)
        return self._active(self._before(values, only), only)[:, 0]

    def _before(self, values: Tensor, units: slice) -> Tensor:
        x = _normalized(values, self.encoder.normalize)
        return _product(self._weights(values)[units], x) + _spread(self._bias(values)[units], values)

    def _active(self, z: Tensor, units: slice) -> Tensor:
        if self.encoder.activation == "jumprelu":
            return z.where(z > _spread(self._threshold(z)[units], z), 0)
        return z.clamp(min=0)

    def _least(self, z: Tensor) -> Tensor:
        return z.topk(self.encoder.k, dim=1).values.amin(dim=1, keepdim=True)


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


class _OnDevice:
    """A constant that is copied to a device once, when it is first needed there."""

    def __init__(self, array: Array) -> None:
        self._array = array
        self._copies: dict[Any, Tensor] = {}

    def __call__(self, like: Tensor) -> Tensor:
        import torch

        if like.device not in self._copies:
            self._copies[like.device] = torch.from_numpy(self._array).to(like.device)
        return self._copies[like.device]


def _suffix(encoder: Encoder) -> str:
    return "" if encoder.normalize == "none" else f" {encoder.normalize}"


def _normalized(values: Tensor, how: str) -> Tensor:
    """Normalises values of shape (images, units, ...) over the units."""
    if how == "layer_norm":
        centred = values - values.mean(1, keepdim=True)
        return centred / (centred.std(1, keepdim=True) + 1e-5)
    if how == "constant_norm_rescale":
        length = values.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
        return values * (math.sqrt(values.shape[1]) / length)
    return values


def _product(matrix: Tensor, values: Tensor) -> Tensor:
    import torch

    return torch.einsum("ku,nu...->nk...", matrix, values)


def _spread(row: Tensor, values: Tensor) -> Tensor:
    """Shapes (units,) so that it meets (images, units, ...)."""
    return row.view(1, -1, *[1] * (values.ndim - 2))
