"""Reads what a GGUF file says of itself, and checks that the file is whole, before native code maps it into memory.

The format: a magic number, version, counts; keys with typed values; names, shapes, types and offsets of tensors; then,
aligned, their data. The vocabulary of a model is an array of a hundred thousand strings, which `gguf.GGUFReader` turns
into as many arrays (seconds); here such arrays are passed over.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from maia_core.plugin import UsageError, open_plain

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_ENTRIES = 10_000_000
"""More keys, tensors or strings than that are a damaged count."""

MAX_DIMENSIONS = 8
"""More dimensions of a tensor than that are a damaged number; llama.cpp takes 4."""

Value = bool | int | float | str

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Numbers of the scalar types, as `struct` has them."""

STRING, ARRAY = 8, 9
"""Numbers of the other types."""


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        values: Metadata by key; arrays are left out.
        tensors: Names of the tensors.
    """

    values: dict[str, Value]
    tensors: frozenset[str]

    def text(self, key: str) -> str:
        """Returns a string of the metadata, empty where there is none."""
        value = self.values.get(key, "")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int:
        """Returns a whole number of the metadata, 0 where there is none."""
        value = self.values.get(key, 0)
        return value if isinstance(value, int) else 0


def read_header(path: Path, option: str) -> Header:
    """Reads the header of a GGUF file.

    Args:
        path: The file.
        option: Which option named it, for messages.

    Raises:
        UsageError: there is no such file, it is not a GGUF file, or it is damaged or cut off.
    """
    if path.is_dir():
        raise UsageError(f"{option}: {path} is a folder; give the GGUF file in it")
    try:
        with open_plain(path.resolve()) as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UsageError(f"{option}: {path} is not a GGUF file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data).header()
    except OSError as error:
        raise UsageError(f"{option}: cannot read {path}: {error.strerror or error}") from error
    except (struct.error, ValueError, OverflowError) as error:
        raise UsageError(f"{option}: {path} is damaged or cut off ({error}); fetch it again") from error


class _Reader:
    """Walks through the mapped file; raises `struct.error` or `ValueError` for what cannot be."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(MAGIC)

    def header(self) -> Header:
        (version,) = self._take("I")
        if version not in VERSIONS:
            raise ValueError(f"GGUF version {version}, readable are {VERSIONS[0]} and {VERSIONS[1]}")
        tensor_count, key_count = self._count(), self._count()
        values = {}
        for _ in range(key_count):
            key = self._string()
            value = self._value(self._take("I")[0])
            if value is not None:
                values[key] = value
        ends = {}
        for _ in range(tensor_count):
            name = self._string()
            (dimensions,) = self._take("I")
            if dimensions > MAX_DIMENSIONS:
                raise ValueError(f"tensor '{name[:100]}' has {dimensions} dimensions")
            shape = self._take(f"{dimensions}Q")
            kind, offset = self._take("IQ")
            ends[name] = offset + _size(shape, kind)
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0:
            raise ValueError(f"an alignment of {alignment}")
        start = -(-self._at // alignment) * alignment
        for name, end in ends.items():
            if start + end > len(self._data):
                raise ValueError(f"tensor '{name}' ends {start + end - len(self._data)} bytes behind the end")
        return Header(values, frozenset(ends))

    def _take(self, layout: str) -> tuple[int, ...]:
        layout = "<" + layout
        found: tuple[int, ...] = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return found

    def _count(self) -> int:
        (count,) = self._take("Q")
        if count > MAX_ENTRIES:
            raise ValueError(f"a count of {count}")
        return count

    def _string(self) -> str:
        (length,) = self._take("Q")
        end = self._at + length
        if end > len(self._data):
            raise ValueError("a text goes on behind the end")
        text = self._data[self._at : end].decode()
        self._at = end
        return text

    def _value(self, kind: int) -> Value | None:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            self._pass_array()
            return None
        value: Value = self._take(_scalar(kind))[0]
        return value

    def _pass_array(self) -> None:
        kind, count = self._take("I")[0], self._count()
        if kind != STRING:
            self._at += count * struct.calcsize("<" + _scalar(kind))
            return
        at, data, length = self._at, self._data, struct.Struct("<Q").unpack_from
        for _ in range(count):
            at += 8 + length(data, at)[0]
        self._at = at


def _scalar(kind: int) -> str:
    if kind not in SCALARS:
        raise ValueError(f"a value of type {kind}")
    return SCALARS[kind]


def _size(shape: tuple[int, ...], kind: int) -> int:
    """Returns the bytes of a tensor's data; 0 for a quantisation that is newer than the installed `gguf`."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    except (KeyError, ValueError):
        return 0
    return math.prod(shape) // block * size
