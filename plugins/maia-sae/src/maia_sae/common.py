"""Builds an autoencoder from tensors and settings: every one is applied, known to be idle, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from maia_core.plugin import UsageError
from maia_sae.autoencoder import Autoencoder
from maia_sae.encoder import NORMALIZATIONS, Encoder
from maia_sae.readouts import Array
from maia_sae.settings import Reader, names_of

TENSORS = {
    "weights": ("W_enc", "encoder.weight"),
    "bias": ("b_enc", "encoder.bias"),
    "centre": ("b_dec", "decoder.bias", "pre_bias", "bias", "decoder_bias"),
    "threshold": ("threshold", "topk_threshold"),
    "k": ("k",),
    "decoder": ("W_dec", "decoder.weight"),
    "gate": ("b_gate", "gate_bias"),
    "magnitude": ("b_mag", "mag_bias"),
    "scale": ("r_mag",),
    "groups": ("group_sizes",),
}
"""Names of the tensors: as SAELens and ViT-Prisma, as torch's modules, and as dictionary_learning write them."""

BATCH_TOPK = ("BatchTopKSAE", "MatryoshkaBatchTopKSAE", "batchtopk", "matryoshka_batchtopk")
"""Architectures with one threshold for all latents, which always subtract the decoder's bias."""

NEVER_CENTRED = ("AutoEncoderNew", "JumpReluAutoEncoder")
"""Classes of dictionary_learning that do not subtract the decoder's bias."""

GATED = ("gated", "GatedAutoEncoder")
"""Architectures with a gate."""


class WidthError(UsageError):
    """The autoencoder was made for a layer of another width."""


def build(tensors: Mapping[str, Array], settings: Mapping[str, Any], source: str, units: int | None) -> Autoencoder:
    """Returns the autoencoder that the tensors and the settings of a file describe.

    Without settings it is jumprelu where there is a threshold for each latent, else relu; the centre is subtracted
    from the input except by jumprelu, as in the papers that `Encoder` names.

    Args:
        tensors: By name; `W_enc` (units, latents) or `encoder.weight` (latents, units), and the other `TENSORS`.
        settings: By name, as the library wrote them; texts as in metadata are read too.
        source: Where the settings come from, for messages.
        units: Units of the layer; None: as the tensors tell.

    Raises:
        UsageError: a tensor or a setting is not known, lacks, contradicts another, or does not fit the layer.
    """
    arrays = _arrays(tensors)
    read = Reader(settings, source)
    weights = _weights(tensors, arrays, units)
    latents, units = weights.shape
    arrays = _shaped(arrays, tensors, latents, units)
    read.check_sizes(units, latents)
    is_gated = "gate" in arrays
    names_architecture = read.has("architecture", "dict_class")
    _check_gate(read, arrays, names_architecture)
    bias = arrays.get("magnitude", arrays.get("bias", np.zeros(latents, np.float32)))
    threshold = arrays.get("threshold")
    is_batch_topk = read.says(BATCH_TOPK, "architecture", "dict_class")
    never_subtracts = read.says(NEVER_CENTRED, "dict_class")
    named = read.architecture("jumprelu" if threshold is not None and threshold.shape else "relu")
    kind = "topk" if named == "relu" and "k" in arrays else named
    k = read.count("k", arrays.get("k"))
    threshold = _threshold(threshold, named, kind, latents)
    gate, scale = arrays.get("gate"), np.exp(arrays["scale"]) if "scale" in arrays else None
    decoder = _decoder(tensors, weights)
    if read.flag("rescale_acts_by_decoder_norm", False):
        if is_gated:
            raise UsageError(f"{source} sets rescale_acts_by_decoder_norm for a gated autoencoder")
        norms, decoder = _decoder_norms(tensors, weights)
        weights, bias = weights * norms[:, None], bias * norms
    subtracts = (kind != "jumprelu" or is_batch_topk) and not never_subtracts  # JumpReLU: by the setting.
    is_known = read.has("apply_b_dec_to_input") or (names_architecture and subtracts) or never_subtracts or is_gated
    subtracts = read.flag("apply_b_dec_to_input", subtracts)
    zeros = np.zeros(units, np.float32)
    centre = arrays.get("centre", zeros)
    is_known = is_known or not centre.any()
    assumed = (
        ""
        if is_known
        else (
            f"the file does not say whether the encoder subtracts the decoder's bias (apply_b_dec_to_input); MAIA "
            f"{'subtracts it' if subtracts else 'does not subtract it'}"
        )
    )
    normalize = read.choice("normalize_activations", NORMALIZATIONS)
    signed = read.flag("keeps_negative_values", False)
    read.choice("reshape_activations", ("none",))
    read.flag("cls_token_only", False)  # The readers of the formats find where it belongs.
    read.choice("io", ("out",))
    read.choice("buffer.io", ("out",))
    read.refuse("is_transcoder", "use_error_term", "hook_head_index", "hook_point_head_index", "seqpos_slice")
    read.refuse("metadata.hook_head_index", "metadata.seqpos_slice", "buffer.normalize")
    read.require_all_read()
    rows = np.ascontiguousarray(weights)
    encoder = Encoder(rows, bias, centre if subtracts else zeros, kind, k, threshold, normalize, gate, scale, signed)
    other = None if is_known else replace(encoder, centre=zeros if subtracts else centre)
    return Autoencoder(encoder, decoder, centre, assumed=assumed, other=other)


def _check_gate(read: Reader, arrays: Mapping[str, Array], names_architecture: bool) -> None:
    is_named = read.says(GATED, "architecture", "dict_class")
    is_gated = "gate" in arrays
    is_set = read.flag("gated_sae", False)
    if (is_named and not (is_gated and "magnitude" in arrays and "scale" in arrays)) or (is_set and not is_gated):
        raise UsageError("it lacks a tensor of a gated autoencoder: b_gate, r_mag and b_mag")
    if names_architecture and is_gated and not is_named:
        raise UsageError("it holds a tensor b_gate, but its architecture is not gated")
    for what in ("magnitude", "scale"):
        if what in arrays and not is_gated:
            raise UsageError(f"it holds a tensor {TENSORS[what][0]}, but no b_gate")


def _threshold(threshold: Array | None, named: str, kind: str, latents: int) -> Array | None:
    """Returns the threshold of each latent, for jumprelu."""
    if threshold is None:
        return None
    if kind != "jumprelu" and threshold.shape:
        raise UsageError(f"it has a threshold for each latent, but the activation is {kind}")
    # AutoEncoderTopK holds a threshold that its `encode` does not apply unless asked to.
    if named == "relu" and threshold >= 0:
        raise UsageError("it has one threshold for all latents: state its architecture, topk or BatchTopKSAE")
    # Both libraries apply the rectifier, too: no latent is below 0.
    return np.maximum(np.broadcast_to(threshold, latents), np.float32(0)) if kind == "jumprelu" else None


def _arrays(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the tensors by what they are."""
    arrays: dict[str, Array] = {}
    known = {name: what for what, names in TENSORS.items() for name in names}
    if not any(name in tensors for name in TENSORS["weights"]):
        raise UsageError(f"it holds no W_enc and no encoder.weight, but {names_of(tensors) or 'nothing'}")
    for name, array in tensors.items():
        if name not in known:
            raise UsageError(
                f"it holds a tensor {names_of([name])}, which MAIA does not know: a latent may depend on it"
            )
        if known[name] in arrays:
            raise UsageError(f"it holds several of {', '.join(TENSORS[known[name]])}; MAIA cannot tell which counts")
        arrays[known[name]] = array
    return arrays


def _shaped(arrays: Mapping[str, Array], tensors: Mapping[str, Array], latents: int, units: int) -> dict[str, Array]:
    """Returns the tensors as the formula needs them; one value, in whatever shape, as one of shape ()."""
    fit: dict[str, tuple[tuple[int, ...], ...]] = {
        "bias": ((latents,),),
        "centre": ((units,),),
        "threshold": ((latents,), ()),
        "k": ((),),
        "gate": ((latents,),),
        "magnitude": ((latents,),),
        "scale": ((latents,),),
    }
    shaped = dict(arrays)
    for what in fit.keys() & arrays.keys():
        array = arrays[what]
        if array.size == 1 and array.shape not in fit[what] and () in fit[what]:
            array = array.reshape(())
        if array.shape not in fit[what]:
            name = next(name for name in TENSORS[what] if name in tensors)
            raise UsageError(f"{name} has the shape {array.shape} instead of {' or '.join(map(str, fit[what]))}")
        shaped[what] = array
    return shaped


def _weights(tensors: Mapping[str, Array], arrays: Mapping[str, Array], units: int | None) -> Array:
    """Returns the encoder's matrix: (latents, units)."""
    name = next(name for name in TENSORS["weights"] if name in tensors)  # `_arrays` checked that there is one.
    weights = tensors[name]
    if units is None and weights.ndim == 2:
        centre = arrays.get("centre")
        fits = name == "W_enc" and (centre is None or centre.shape == (weights.shape[0],))
        units = weights.shape[0] if fits else weights.shape[1]
    if name == "W_enc" and weights.ndim == 2 and weights.shape[0] == units:
        weights = weights.T
    if weights.ndim != 2 or weights.shape[1] != units:
        layer = f"the layer has {units} units" if units else "MAIA needs a matrix"
        raise WidthError(f"it was made for another layer: its {name} is {weights.shape}, {layer}")
    return weights


def _decoder(tensors: Mapping[str, Array], weights: Array) -> Array | None:
    """Returns the decoder's matrix, of the shape of the encoder's; None where the file has no such matrix."""
    decoder = tensors.get("W_dec", tensors.get("decoder.weight", np.empty(0)).T)
    if decoder.shape == weights.shape[::-1] != weights.shape:
        decoder = decoder.T
    return np.ascontiguousarray(decoder) if decoder.shape == weights.shape else None


def _decoder_norms(tensors: Mapping[str, Array], weights: Array) -> tuple[Array, Array]:
    """Returns the length of each latent's vector in the decoder, (latents,), and the decoder at unit lengths."""
    decoder = tensors.get("W_dec", tensors.get("decoder.weight", np.empty(0)).T)
    if decoder.shape != weights.shape:
        raise UsageError(
            f"rescale_acts_by_decoder_norm needs W_dec of the shape {weights.shape}, or decoder.weight, its transpose"
        )
    norms = np.asarray(np.linalg.norm(decoder, axis=1), np.float32)
    return norms, np.ascontiguousarray(decoder / np.maximum(norms, np.float32(1e-30))[:, None])
