"""Directions and sparse autoencoders in files: numbers only, no pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import UsageError
from maia_torch.readouts import Array, Directions, Encoder, Latents


def directions_file(where: str, units: int) -> Directions:
    """Reads directions from `FILE.npy` or `FILE.safetensors#KEY`: one vector, or a matrix with one in each row.

    Raises:
        UsageError: the file cannot be read, or its vectors have not the length `units`.
    """
    path, _, key = where.partition("#")
    file = _file(path)
    if file.suffix == ".npy":
        try:
            array = np.load(file, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise UsageError(f"{file} is not a .npy file of numbers: {error}") from error
    else:
        tensors, _ = _tensors(file)
        if not key and len(tensors) == 1:
            key = next(iter(tensors))
        if key not in tensors:
            raise UsageError(f"which tensor of {file}? Write {path}#KEY with one of {', '.join(sorted(tensors)[:20])}")
        array = tensors[key]
    vectors = np.atleast_2d(_float(array, where))
    if vectors.ndim != 2 or vectors.shape[1] != units:
        raise UsageError(f"{where} has the shape {array.shape}; the layer needs vectors of {units} numbers, one a row")
    return Directions(np.ascontiguousarray(vectors))


def latents_file(path: str, units: int) -> Latents:
    """Reads the encoder of a sparse autoencoder from a safetensors file.

    Its tensors are `W_enc` (units, latents), `b_enc` (latents,) and, optionally, `b_dec` (units,) and `threshold`
    (latents,); or, as torch's modules save themselves, `encoder.weight` (latents, units), `encoder.bias`, and
    `decoder.bias` or `pre_bias` for `b_dec`. What the arrays do not tell comes from the file's own metadata or from a
    `cfg.json` beside it, under the names that SAELens writes: `architecture` (standard, relu, topk, jumprelu), `k`,
    `apply_b_dec_to_input`. Without them: jumprelu where there is a threshold, else relu; `b_dec` is subtracted from
    the input except by jumprelu, as in the papers that `Encoder` names.

    Raises:
        UsageError: the file cannot be read, something is missing, or it was made for another number of units.
    """
    file = _file(path)
    tensors, metadata = _tensors(file)
    settings = _settings(file.with_name("cfg.json")) | metadata
    weights = _encoder_weights(tensors, units, path)
    latents = len(weights)

    def vector(length: int, *names: str) -> Array:
        found = next((tensors[name] for name in names if name in tensors), None)
        return np.zeros(length, np.float32) if found is None else _float(found, path)

    threshold = vector(latents, "threshold") if "threshold" in tensors else None
    known = {"standard": "relu"}
    given = str(
        settings.get("architecture", settings.get("activation", "jumprelu" if "threshold" in tensors else "relu"))
    )
    activation = known.get(given, given)
    subtracts = str(settings.get("apply_b_dec_to_input", activation != "jumprelu")).lower() == "true"
    centre = vector(units, "b_dec", "decoder.bias", "pre_bias") if subtracts else np.zeros(units, np.float32)
    try:
        k = int(settings.get("k", 0))
        return Latents(Encoder(weights, vector(latents, "b_enc", "encoder.bias"), centre, activation, k, threshold))
    except (UsageError, ValueError, TypeError) as error:
        raise UsageError(f"{file}: {error}") from error


def _encoder_weights(tensors: Mapping[str, NDArray[Any]], units: int, path: str) -> Array:
    if "W_enc" in tensors:
        weights = _float(tensors["W_enc"], path)
        weights = weights.T if weights.ndim == 2 and weights.shape[0] == units else weights
    elif "encoder.weight" in tensors:
        weights = _float(tensors["encoder.weight"], path)
    else:
        raise UsageError(
            f"{path} holds no W_enc and no encoder.weight, but {', '.join(sorted(tensors)[:10]) or 'nothing'}"
        )
    if weights.ndim != 2 or weights.shape[1] != units:
        raise UsageError(f"the autoencoder of {path} was made for another layer: {weights.shape}, not {units} units")
    return np.ascontiguousarray(weights)


def _settings(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except ValueError as error:
        raise UsageError(f"{file} is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _file(path: str) -> Path:
    file = Path(path).expanduser()
    if file.suffix not in (".npy", ".safetensors"):
        raise UsageError(f"'{path}' is neither a .npy nor a .safetensors file")
    if not file.is_file():
        raise UsageError(f"there is no file {path}")
    return file


def _tensors(file: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Returns the arrays and the metadata of a safetensors file; 16-bit floats become float32."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        raise UsageError(f"{file} is not a .safetensors file")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{file} is not a safetensors file: {error}") from error
    half = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    return {name: value.numpy() for name, value in half.items()}, metadata


def _float(array: NDArray[Any], where: str) -> Array:
    if array.dtype.kind not in "fiu" or array.size == 0:
        raise UsageError(f"{where} holds no numbers, but {array.dtype} of shape {array.shape}")
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise UsageError(f"{where} holds values that are not finite")
    return values
