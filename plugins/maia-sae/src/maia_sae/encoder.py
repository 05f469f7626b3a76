"""The encoder of a sparse autoencoder, and its latents as units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maia_core.plugin import UsageError, content_id
from maia_sae.readouts import Array, OnDevice, Readout, product, spread

if TYPE_CHECKING:
    from torch import Tensor

NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")
"""What an autoencoder may do to its input; see `Encoder`."""

ACTIVATIONS = ("relu", "topk", "jumprelu", "tanh-relu", "abstopk")
"""What an autoencoder may do to z; see `Encoder`."""


@dataclass(frozen=True)
class Encoder:
    """The encoder of a sparse autoencoder: z = W (n(x) - c) + b, then an activation.

    Attributes:
        weights: W, float32 of shape (latents, units of the layer).
        bias: b, float32 of shape (latents,).
        centre: c, float32 of shape (units of the layer,): the decoder's bias where the encoder subtracts it, else 0.
        activation: `relu`: max(z, 0) (Bricken et al., Towards Monosemanticity, 2023). `topk`: max(z, 0) for the `k`
            largest z of a position, else 0 (Gao et al., Scaling and Evaluating Sparse Autoencoders, 2024).
            `jumprelu`: z where z > threshold, else 0 (Rajamanoharan et al., Jumping Ahead, 2024). `tanh-relu`:
            tanh(max(z, 0)), as in ViT-Prisma. `abstopk`: z for the `k` largest |z| of a position, else 0.
        k: Latents that stay in `topk` and `abstopk`.
        threshold: Float32 of shape (latents,), for `jumprelu`.
        normalize: n, over the units of a position, as SAELens names it. `none`: x. `layer_norm`: x minus its mean, over
            its standard deviation (of a sample) plus 1e-5. `constant_norm_rescale`: x at the length sqrt(units).
        gate: g, float32 of shape (latents,), of a gated autoencoder (Rajamanoharan et al., Improving Dictionary
            Learning with Gated Sparse Autoencoders, 2024): with y = W (n(x) - c), the latent is the activation of
            z = s y + b where y + g > 0, else 0.
        scale: s, float32 of shape (latents,), beside `gate`; None: 1.
        signed: Whether `topk` keeps negative values, as saev does.
    """

    weights: Array
    bias: Array
    centre: Array
    activation: str = "relu"
    k: int = 0
    threshold: Array | None = None
    normalize: str = "none"
    gate: Array | None = None
    scale: Array | None = None
    signed: bool = False

    def __post_init__(self) -> None:
        if self.weights.ndim != 2:
            raise UsageError(f"the encoder's weights are a matrix, not of shape {self.weights.shape}")
        latents, inputs = self.weights.shape
        shapes = {"b_enc": (self.bias, latents), "b_dec": (self.centre, inputs)}
        optional = {"threshold": self.threshold, "b_gate": self.gate, "r_mag": self.scale}
        shapes |= {name: (array, latents) for name, array in optional.items() if array is not None}
        for name, (array, length) in shapes.items():
            if array.shape != (length,):
                raise UsageError(
                    f"{name} of the sparse autoencoder has the shape {array.shape}; its weights need ({length},)"
                )
        if self.activation not in ACTIVATIONS:
            raise UsageError(
                f"the activation of a sparse autoencoder is one of {', '.join(ACTIVATIONS)}, not {self.activation}"
            )
        if self.activation in ("topk", "abstopk") and not 0 < self.k <= latents:
            raise UsageError(f"topk keeps 1 to {latents} latents, not {self.k}: state k")
        if self.activation == "jumprelu" and self.threshold is None:
            raise UsageError("jumprelu needs a threshold for each latent")
        if self.normalize not in NORMALIZATIONS:
            raise UsageError(f"normalize is one of {', '.join(NORMALIZATIONS)}, not {self.normalize}")

    @property
    def label(self) -> str:
        """The activation in words, such as `gated relu` or `topk, k=32`."""
        gated = "gated " if self.gate is not None else ""
        signed = ", negative values stay" if self.signed or self.activation == "abstopk" else ""
        return f"{gated}{self.activation}{f', k={self.k}' if self.k else ''}{signed}"


class Latents(Readout):
    """The latents of a sparse autoencoder, by the formula of `Encoder`."""

    def __init__(self, encoder: Encoder, assumed: str = "") -> None:
        self.assumed = assumed
        self.units, self.inputs = encoder.weights.shape
        self.encoder = encoder
        zeros = np.zeros(self.units, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            shift = -(encoder.weights @ encoder.centre)
            bias = encoder.bias + (shift if encoder.scale is None else encoder.scale * shift)
            gate = None if encoder.gate is None else encoder.gate + shift
        if not np.isfinite(bias).all():
            raise UsageError("b_enc minus its weights times b_dec is not finite: the weights are too large for float32")
        arrays = [encoder.weights, bias, zeros if encoder.threshold is None else encoder.threshold]
        extra = [array for array in (gate, encoder.scale) if array is not None]
        self.fingerprint = content_id(
            f"latents {encoder.activation} {encoder.k}{_suffix(encoder)}".encode(),
            *(np.ascontiguousarray(a).tobytes() for a in (*arrays, *extra)),
        )
        self.note = f"a latent of a sparse autoencoder ({encoder.activation}), 0 where it is off"
        if encoder.signed or encoder.activation == "abstopk":
            self.note += "; it can be negative"
        self._weights, self._bias, self._threshold = map(OnDevice, arrays)
        self._gate = None if gate is None else OnDevice(gate)
        self._scale = None if encoder.scale is None else OnDevice(encoder.scale)

    def all(self, values: Tensor) -> Tensor:
        """See `Readout`."""
        z, on = self._before(values, slice(None))
        z = self._largest(z) if self.encoder.activation in ("topk", "abstopk") else self._active(z, slice(None))
        return z if on is None else z.where(on, 0)

    def one(self, values: Tensor, unit: int) -> Tensor:
        """See `Readout`."""
        if self.encoder.activation in ("topk", "abstopk"):  # whether one is among the largest takes them all
            z, on = self._before(values, slice(None))
            latent = self._largest(z)[:, unit]
            return latent if on is None else latent.where(on[:, unit], 0)
        only = slice(unit, unit + 1)
        z, on = self._before(values, only)
        latent = self._active(z, only)
        return (latent if on is None else latent.where(on, 0))[:, 0]

    def _before(self, values: Tensor, units: slice) -> tuple[Tensor, Tensor | None]:
        """Returns z, and where the gate is open (None without a gate)."""
        y = product(self._weights(values)[units], normalised(values, self.encoder.normalize)[0])
        on = None if self._gate is None else y + spread(self._gate(values)[units], values) > 0
        if self._scale is not None:
            y = y * spread(self._scale(values)[units], values)
        return y + spread(self._bias(values)[units], values), on

    def _active(self, z: Tensor, units: slice) -> Tensor:
        if self.encoder.activation == "jumprelu":
            return z.where(z > spread(self._threshold(z)[units], z), 0)
        z = z.clamp(min=0)
        return z.tanh() if self.encoder.activation == "tanh-relu" else z

    def _largest(self, z: Tensor) -> Tensor:
        """Returns the k largest of each position, 0 for all others; of equal ones those that `torch.topk` takes."""
        size = z.abs() if self.encoder.activation == "abstopk" else z
        places = size.topk(self.encoder.k, dim=1).indices
        kept = z.gather(1, places)
        if not self.encoder.signed and self.encoder.activation == "topk":
            kept = kept.clamp(min=0)
        return z.new_zeros(z.shape).scatter(1, places, kept)


def _suffix(encoder: Encoder) -> str:
    normalize = "" if encoder.normalize == "none" else f" {encoder.normalize}"
    return normalize + (" gated" if encoder.gate is not None else "") + (" signed" if encoder.signed else "")


def normalised(values: Tensor, how: str) -> tuple[Tensor, Tensor | float, Tensor | float]:
    """Normalises values of shape (images, units, ...) over the units.

    Returns:
        n(x), and the scale and the offset with which x = n(x) * scale + offset.
    """
    if how == "layer_norm":
        mean = values.mean(1, keepdim=True)
        centred = values - mean
        deviation = centred.std(1, keepdim=True)
        return centred / (deviation + 1e-5), deviation, mean
    if how == "constant_norm_rescale":
        length = values.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
        factor = math.sqrt(values.shape[1]) / length
        return values * factor, 1 / factor, 0.0
    return values, 1.0, 0.0
