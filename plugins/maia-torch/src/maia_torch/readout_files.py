"""Directions and sparse autoencoders in files: numbers only, no pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import UsageError
from maia_torch.autoencoders import encoder
from maia_torch.readouts import Array, Directions, Latents


def directions_file(where: str, units: int) -> Directions:
    """Reads directions from `FILE.npy` or `FILE.safetensors#KEY`: one vector, or a matrix with one in each row.

    Raises:
        UsageError: the file cannot be read, or its vectors have not the length `units`.
    """
    path, _, key = where.partition("#")
    file = _file(path)
    if file.suffix == ".npy":
        try:
            # Mapped into memory: a header that names more numbers than the file holds allocates nothing.
            with file.open("rb") as opened:
                np.lib.format.read_magic(opened)
            array = np.load(file, mmap_mode="r", allow_pickle=False)
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

    `maia_torch.autoencoders` says which tensors and settings it knows; the settings are in the metadata of the file or
    in a `cfg.json` or `config.json` beside it.

    Raises:
        UsageError: the file cannot be read, it was made for another number of units, or it holds a tensor or a setting
            that MAIA does not know.
    """
    file = _file(path)
    tensors, metadata = _tensors(file)
    numbers = {name: _float(array, f"{name} of {path}") for name, array in tensors.items()}
    settings, source = metadata, "its metadata"
    for beside in (file.with_name("cfg.json"), file.with_name("config.json")):
        if beside.is_file():
            settings, source = _settings(beside) | metadata, beside.name
            break
    try:
        return Latents(*encoder(numbers, settings, source, units))
    except UsageError as error:
        raise UsageError(f"the sparse autoencoder {path} cannot be read: {error}") from error


def _settings(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())  # Bytes: any encoding of Unicode, with a byte order mark or without.
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file} holds a {type(content).__name__} instead of settings by name")
    return content


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
    with np.errstate(over="ignore"):  # What float32 cannot hold is refused below.
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise UsageError(f"{where} holds values that are not finite")
    return values
