"""Reads torch files and old pickles without running what they hold.

`torch.load(weights_only=True)` reads files of torch. A plain pickle, as ViT-Prisma's `.pkl.gz` are, goes through an
unpickler that knows the names in `_known` and refuses all others. A configuration object, of a class that a library
names `...Config`, becomes an inert `Settings`.
"""

from __future__ import annotations

import io
import pickle
import re
import sys
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from maia_core.plugin import UsageError, one_line

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Beginning of a torch file that is not a zip archive: its magic number as a pickle."""

MAX_INFLATED = 64 << 20
"""Bytes by which an unpacked file may exceed four times its size: weights hardly compress."""

DANGEROUS = re.compile(r"torch\.(hub|package|utils|serialization|storage|load|jit|_C|ops|multiprocessing)\b")
"""Names in torch itself that do more than hold a module."""

CONFIG = re.compile(r"(?:vit_prisma|sae|sae_training|sae_lens|vision_sae)(?:\.\w+)*\.\w*(?:Config|RunnerConfig)")
"""Names of the libraries' classes of settings."""


class Settings:
    """The attributes of a configuration object, without its class."""

    def __init__(self, *values: Any) -> None:
        self.values = values


def torch_content(data: bytes, path: str) -> Any:
    """Returns what a file of torch holds.

    Args:
        data: The file's bytes.
        path: Its name, for messages.

    Raises:
        UsageError: it is broken, or holds more than numbers and settings.
    """
    import torch

    check_size(io.BytesIO(data), path)
    names = _unknown_names(data)
    configs = [name for name in names if CONFIG.fullmatch(name)]
    if refused := [name for name in names if name not in configs]:
        raise UsageError(_refusal(refused, path))
    allowed: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [(Settings, name) for name in configs]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        cause = str(error)
        if unsafe := re.findall(r"GLOBAL ([\w.]+)", cause):
            raise UsageError(_refusal(unsafe, path)) from error
        raise UsageError(
            f"{path} is broken or cut short: {one_line(error).partition('. ')[0][:200]}; copy or fetch it again"
        ) from error


def pickle_content(data: bytes, path: str) -> Any:
    """Returns what a plain pickle holds: dicts, lists, numbers, tensors and settings.

    Raises:
        UsageError: it is broken, or names anything else.
    """
    try:
        return _Unpickler(io.BytesIO(data), path).load()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"{path} is broken or cut short: {one_line(error).partition('. ')[0][:200]}; copy or fetch it again"
        ) from error


def unpacked(data: bytes, path: str) -> bytes:
    """Returns the content of a gzip file.

    Raises:
        UsageError: it is broken, or it would unpack to far more bytes than weights do.
    """
    most = 4 * len(data) + MAX_INFLATED
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(data, most)
    except zlib.error as error:
        raise UsageError(f"{path} is not a gzip file, or a broken one: {error}") from error
    if unpacker.unconsumed_tail:
        raise UsageError(f"{path} would unpack to more than {most:,} bytes: MAIA does not read it")
    if not unpacker.eof:
        raise UsageError(f"{path} is cut short: copy or fetch it again")
    return content


class _Unpickler(pickle._Unpickler):
    """Knows a few names of torch, and refuses all others.

    It is Python's own: that of C makes room for as many objects as a file of six bytes says that it has.
    """

    def __init__(self, file: io.BytesIO, path: str) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        known = _known().get(f"{module}.{name}")
        if known is None and CONFIG.fullmatch(f"{module}.{name}"):
            return Settings
        if known is None:
            raise UsageError(_refusal([f"{module}.{name}"], self._path))
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise UsageError(f"{self._path} refers to data outside of itself: save it with torch.save")


def _known() -> dict[str, Any]:
    """Returns the names that a plain pickle of tensors needs, each with its harmless counterpart."""
    import torch

    dtypes = {f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
    return dtypes | {
        "collections.OrderedDict": OrderedDict,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
        "torch.storage._load_from_bytes": _storage,
        "torch.device": torch.device,
        "torch.Size": torch.Size,
    }


def _tensor(storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *rest: Any) -> Any:
    """Returns a tensor in a storage, which torch would enlarge by whatever the memory holds.

    Raises:
        ValueError: the tensor reaches beyond the storage.
    """
    import torch

    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if min(offset, *size, *stride) < 0 or (0 not in size and last >= storage._size()):
        raise ValueError(f"a tensor of shape {tuple(size)} needs more than the {storage._size()} numbers it has")
    rebuild: Callable[..., Any] = torch._utils._rebuild_tensor_v2
    return rebuild(storage, offset, size, stride, *rest)


def _storage(data: bytes) -> Any:
    return torch_content(data, "a storage in the pickle")


def check_size(file: BinaryIO, path: str) -> None:
    """Checks that an archive does not unpack to far more bytes than weights do; other files pass.

    Raises:
        UsageError: it does.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > 4 * file.seek(0, io.SEEK_END) + MAX_INFLATED:
            raise UsageError(f"{path} would unpack to {size:,} bytes: MAIA does not read it; save it uncompressed")
    file.seek(0)


def _unknown_names(data: bytes) -> list[str]:
    """Returns the names in a zip file of torch that `weights_only` does not know."""
    import torch

    if not zipfile.is_zipfile(io.BytesIO(data)):
        return []
    try:
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)))
    except Exception:  # Loading the file says why.
        return []


def _refusal(names: Sequence[str], path: str) -> str:
    """Returns why a pickle is refused; a whole module of a known library gets the command that converts it."""
    strange = [name for name in names if _is_strange(name)]
    if strange or not any(name.startswith("torch.nn.") for name in names):
        return (
            f"{path} is a pickle that would run {_printable((strange or names)[0])} when it is loaded, and MAIA does "
            "not run what a file holds: get the weights as a state dict or as safetensors"
        )
    own = [name for name in names if not name.startswith("torch.")] or names
    out = f"{Path(path).stem}-state.pt"
    program = (
        f"import torch; m = torch.load({path!r}, map_location='cpu', weights_only=False); "
        "keep = {n: getattr(m, n) for n in ('top_k', 'running_threshold') if getattr(m, n, None) is not None}; "
        f"torch.save({{'state_dict': m.state_dict(), 'class': type(m).__name__, **keep}}, {out!r})"
    )
    escaped = re.sub(r'([$`"\\])', r"\\\1", program)
    return (
        f"{path} holds a whole module ({_printable(own[0])}), and MAIA does not run what a file holds. If you trust "
        f'it, convert it where its library is installed, then use {out}: python -c "{escaped}"'
    )


def _is_strange(name: str) -> bool:
    """Says whether a name is one of Python itself, or one of torch that does more than hold a module."""
    package = name.split(".")[0]
    harmless = name.startswith("collections.") or name == "builtins.set"
    is_python = package in sys.stdlib_module_names or package in ("__builtin__", name)
    return (is_python and not harmless) or bool(DANGEROUS.match(name))


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)[:100]
