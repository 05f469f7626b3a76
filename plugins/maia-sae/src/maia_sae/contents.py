"""What a file of a sparse autoencoder holds: tensors by name, and settings, whatever container they are in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import UsageError, one_line
from maia_sae.pickles import LEGACY, Settings, pickle_content, torch_content, unpacked
from maia_sae.readouts import Array

WEIGHTS = ("sae_weights.safetensors", "ae.pt", "sae.pt")
"""Files that a folder is searched for: those of SAELens, dictionary_learning and saev."""

ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".pkl", ".gz")
"""How else a file of weights may end."""

BESIDE = ("cfg.json", "config.json")
"""Files beside the weights that hold settings."""

OWN_FORMAT = "maia-sae"
"""The `format` of a file that `maia sae convert` wrote: nothing beside it counts."""

MAX_LINE = 1 << 20
"""Bytes of saev's first line."""

MAX_JSON = 64 << 20
"""Bytes that MAIA reads of a file of settings; what is longer is cut, and then is not JSON."""

MAX_VALUES, MAX_DEPTH = 100_000, 30
"""Values in the settings of a file, and levels of their nesting."""


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        file: The file.
        tensors: Float32 arrays by name.
        settings: By name, as the library wrote them.
        source: Where the settings are, for messages.
        container: `safetensors`, `torch`, `pickle`, or `saev` (a line of JSON before a torch file).
    """

    file: Path
    tensors: dict[str, Array]
    settings: dict[str, Any]
    source: str
    container: str


def read_contents(path: str) -> Contents:
    """Reads a file, or the one file of weights in a folder.

    Raises:
        UsageError: there is none, it is broken, of an unknown kind, or a pickle that holds more than numbers.
    """
    file = find_weights(path)
    path = str(file)  # Messages, and the command that converts a file, name the file and not its folder.
    with file.open("rb") as opened:
        start = opened.read(16)
    if start[4:9] == bytes(4) + b"{":  # the length of the header, then the header
        tensors, settings = read_safetensors(file)
        source, container = "its metadata", "safetensors"
    elif start[:1] == b"{":
        with file.open("rb") as opened:
            line, rest = opened.readline(MAX_LINE), opened.read()
        settings, tensors = _json(line, f"the first line of {path}"), _state(torch_content(rest, path), path)[0]
        return Contents(file, _numbers(tensors, path), settings, "its first line", "saev")
    else:
        content, container = _pickled(file, start, path)
        tensors, settings = _state(content, path)
        source = "its settings"
    beside = next((name for name in BESIDE if file.with_name(name).is_file()), None)
    if beside is not None and settings.get("format") != OWN_FORMAT:
        settings, source = read_json(file.with_name(beside)) | settings, beside
    return Contents(file, _numbers(tensors, path), settings, source, container)


def find_weights(path: str) -> Path:
    """Returns the file of weights that a path names: itself, or the only one in a folder.

    Raises:
        UsageError: there is none.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        files = [file / name for name in WEIGHTS if (file / name).is_file()]
        files = files or sorted(found for found in file.iterdir() if found.suffix in ENDINGS and found.is_file())
        if not files:
            raise UsageError(
                f"{path} holds no file of weights ({', '.join(ENDINGS)}); name the file, or its own folder"
            )
        if len(files) > 1:
            names = ", ".join(found.name for found in files[:5])
            raise UsageError(f"{path} is a folder with {len(files)} files of weights; name one of them: {names}")
        return files[0]
    if not file.is_file():
        what = "is not a file" if file.exists() else "is missing"
        raise UsageError(f"{path} {what}; give the path of the file of weights, or of the folder that holds it")
    if file.suffix.lower() == ".json":
        raise UsageError(f"{path} holds settings, not weights; name the file of weights beside it, or their folder")
    return file


def read_json(file: Path) -> dict[str, Any]:
    """Returns the settings in a JSON file, in any encoding of Unicode, with a byte order mark or without.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_JSON)
    except OSError as error:
        raise UsageError(f"{file} cannot be read as JSON: {error}") from error
    return _json(data, str(file))


def read_safetensors(file: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Returns the arrays and the metadata of a safetensors file; 16-bit floats become float32.

    Raises:
        UsageError: it is not one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{file} cannot be read as safetensors: {error}; copy or fetch it again") from error
    return {name: _array(value, f"{name} of {file}") for name, value in tensors.items()}, metadata


def finite(array: NDArray[Any], where: str) -> Array:
    """Returns numbers as float32.

    Raises:
        UsageError: they are not numbers, none at all, or not finite.
    """
    if array.dtype.kind not in "fiu" or array.size == 0:
        raise UsageError(f"{where} holds no numbers, but {array.dtype} of shape {array.shape}")
    with np.errstate(over="ignore"):  # What float32 cannot hold is refused below.
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise UsageError(f"{where} holds values that are not finite")
    return values


def tensors_in(file: Path, path: str) -> dict[str, NDArray[Any]]:
    """Returns the arrays in a safetensors file or a torch file of tensors."""
    if file.suffix == ".safetensors":
        return read_safetensors(file)[0]
    return _state(torch_content(file.read_bytes(), path), path)[0]


def _pickled(file: Path, start: bytes, path: str) -> tuple[Any, str]:
    data = file.read_bytes()
    if start[:2] == b"\x1f\x8b":
        data = unpacked(data, path)
    if data[:4] == b"PK\x03\x04" or data.startswith(LEGACY):
        return torch_content(data, path), "torch"
    if data[:1] == b"\x80":
        return pickle_content(data, path), "pickle"
    what = "is empty" if not data else "is not a safetensors file, nor one of torch, nor a pickle"
    raise UsageError(f"{path} {what}: give the file of weights that the library saved")


def _state(content: Any, path: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Returns the tensors and the settings in the content of a pickle."""
    import torch

    settings: dict[str, Any] = {}
    if isinstance(content, Mapping) and "autoencoder" in content:  # of SAELens 2, from which ViT-Prisma began
        content = {"cfg": content.get("config", content.get("cfg"))} | dict(_mapping(content["autoencoder"]))
    if isinstance(content, Mapping) and "state_dict" in content:
        rest = {name: value for name, value in content.items() if name not in ("state_dict", "cfg", "config")}
        settings = _mapping(content.get("cfg", content.get("config"))) | rest
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise UsageError(f"{path} holds no tensors by name, but a {type(content).__name__}; save sae.state_dict()")
    left = iter(range(MAX_VALUES))
    try:
        plain = {name: _plain(value, left) for name, value in settings.items()}
    except UsageError as error:
        raise UsageError(f"the settings in {path} hold {error}") from error
    return {str(name): _array(value, f"{name} of {path}") for name, value in content.items()}, plain


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Settings):
        value = vars(value)
    return {str(name): item for name, item in value.items()} if isinstance(value, Mapping) else {}


def _plain(value: Any, left: Iterator[int], depth: int = MAX_DEPTH) -> Any:
    """Returns a setting as JSON has it: a tensor of one number as the number, objects as text.

    Args:
        value: The setting. It may hold itself, or one list many times, so that it is far larger than its file.
        left: Ends after as many values as MAIA reads.
        depth: Levels that may follow.

    Raises:
        UsageError: there are more values or levels.
    """
    import torch

    if not depth or next(left, None) is None:
        raise UsageError(f"more than {MAX_VALUES:,} values or {MAX_DEPTH} levels; save the weights and plain settings")
    if isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta:
        value = value.item() if value.numel() == 1 else value.tolist() if value.numel() <= MAX_VALUES else "a tensor"
    if isinstance(value, Settings):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item, left, depth - 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, left, depth - 1) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _array(value: Any, where: str) -> NDArray[Any]:
    """Returns the numbers of a tensor.

    Raises:
        UsageError: it has none, or shows few numbers as very many.
    """
    import torch

    plain = value.detach()
    if plain.layout is not torch.strided or plain.is_meta or plain.is_quantized:
        raise UsageError(f"{where} is not a plain tensor; save it as one: tensor.to_dense(), tensor.dequantize()")
    if plain.numel() * plain.element_size() > plain.untyped_storage().nbytes():
        raise UsageError(f"{where} repeats its numbers to a shape of {tuple(plain.shape)}; save tensor.contiguous()")
    array: NDArray[Any] = (plain.float() if plain.is_floating_point() else plain).cpu().numpy()
    return array


def _numbers(tensors: Mapping[str, NDArray[Any]], path: str) -> dict[str, Array]:
    for name, array in tensors.items():
        if array.ndim == 2 and array.dtype.kind in "iu":
            raise UsageError(
                f"{name} of {path} is a matrix of whole numbers ({array.dtype}), whose scale MAIA does not know; save "
                "the weights as floats"
            )
    return {name: finite(array, f"{name} of {path}") for name, array in tensors.items()}


def _json(data: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(data)  # Bytes: any encoding of Unicode, with a byte order mark or without.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} cannot be read as JSON: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{where} holds a {type(content).__name__} instead of settings by name")
    return content
