"""Directions in files: vectors, linear probes, concept activation vectors, rows of a factorisation, and their sums."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import UsageError
from maia_sae.contents import finite, tensors_in
from maia_sae.pickles import check_size
from maia_sae.readouts import Array, Directions

ENDINGS = (".npy", ".npz", ".safetensors", ".pt", ".pth")
"""How a file of directions ends."""

PROBES = (("coef_", "intercept_"), ("weight", "bias"), ("fc.weight", "fc.bias"), ("linear.weight", "linear.bias"))
"""Names of a linear probe's weights and biases: of scikit-learn, and of torch's `Linear`."""

_FILE = r"[^:#]+?\.(?:npy|npz|safetensors|pth|pt)"
TERM = re.compile(rf"(?P<file>{_FILE})(?:#(?P<key>[^:]+?))?(?::(?P<row>\d+))?(?=$|[+-](?:\d+(?:$|[+-])|{_FILE}))")
"""A term of a sum: `FILE`, `FILE:3`, `FILE#KEY:3`."""


class Term(NamedTuple):
    """One direction of a sum.

    Attributes:
        sign: 1 or -1.
        where: `FILE` or `FILE#KEY`.
        row: Which row of its matrix; None if the file has one alone.
    """

    sign: int
    where: str
    row: int | None


def terms(where: str) -> list[Term]:
    """Returns the terms of a sum or a difference, `A.npy:3-B.npy`, `A.npy:3+5`, `-A.npy`; empty for a file alone."""
    found: list[Term] = []
    rest, sign = (where[1:], -1) if where.startswith("-") and not Path(where.split("#")[0]).exists() else (where, 1)
    while rest:
        number = re.match(r"(\d+)(?=$|[+-])", rest) if found else None
        matched = number or TERM.match(rest)
        if matched is None:
            return []
        if number:
            found.append(Term(sign, found[-1].where, int(number[1])))
        else:
            file, key, row = matched["file"], matched["key"], matched["row"]
            found.append(Term(sign, f"{file}#{key}" if key else file, None if row is None else int(row)))
        rest = rest[matched.end() :]
        if rest:
            sign, rest = (1 if rest[0] == "+" else -1), rest[1:]
    return found if len(found) > 1 or (found and found[0].sign < 0) else []


def is_sum(where: str) -> bool:
    """Says whether a text names a sum or a difference of directions, not one file."""
    return bool(terms(where))


def directions_file(where: str, units: int) -> Directions:
    """Reads directions from a file, or adds those of several.

    Args:
        where: `FILE.npy`, `FILE.npz#KEY`, `FILE.safetensors#KEY`, or `FILE.pt#KEY`: one vector, or a matrix with one in
            each row. A sum or a difference of such: see `terms`.
        units: Units of the layer.

    Raises:
        UsageError: a file cannot be read, or its vectors have not the length `units`.
    """
    parts = terms(where)
    if not parts:
        vectors, biases, origin = _read(where, units)
        return Directions(vectors, biases, origin)
    total, total_bias, any_bias = np.zeros(units, np.float32), np.float32(0), False
    for term in parts:
        vectors, biases, _ = _read(term.where, units)
        if term.row is None and len(vectors) > 1:
            raise UsageError(f"{term.where} holds {len(vectors)} directions; name one: {term.where}:0")
        row = term.row or 0
        if row >= len(vectors):
            raise UsageError(f"{term.where} holds directions 0 to {len(vectors) - 1}, not {row}")
        total += term.sign * vectors[row]
        if biases is not None:
            total_bias, any_bias = total_bias + term.sign * biases[row], True
    bias = np.array([total_bias], np.float32) if any_bias else None
    return Directions(total[None], bias, "a sum of given vectors")


def _read(where: str, units: int) -> tuple[Array, Array | None, str]:
    """Returns the vectors of one file, their biases, and what they are."""
    path, _, key = where.partition("#")
    file = Path(path).expanduser()
    if file.suffix not in ENDINGS:
        raise UsageError(
            f"'{path}' is neither a .npy nor a .safetensors file, and no .npz or .pt: MAIA reads directions from these"
        )
    if not file.is_file():
        raise UsageError(f"there is no file {path}")
    origin, biases = "a given vector", None
    if file.suffix == ".npy":
        array = _numpy(file, lambda: np.load(file, mmap_mode="r", allow_pickle=False), ".npy")
    else:
        arrays = _npz(file) if file.suffix == ".npz" else tensors_in(file, path)
        weight, bias = _probe(arrays) if not key else ("", "")
        if weight:
            key, origin, biases = weight, "the weights of a linear probe", arrays.get(bias)
        elif not key and len(arrays) == 1:
            key = next(iter(arrays))
        if key not in arrays:
            raise UsageError(f"which tensor of {file}? Write {path}#KEY with one of {', '.join(sorted(arrays)[:20])}")
        array = arrays[key]
    vectors = np.atleast_2d(finite(array, where))
    if vectors.ndim != 2 or vectors.shape[1] != units:
        raise UsageError(f"{where} has the shape {array.shape}; the layer needs vectors of {units} numbers, one a row")
    if biases is not None:
        biases = finite(np.atleast_1d(biases), f"the bias in {where}")
        if biases.shape != (len(vectors),):
            raise UsageError(f"{where} has {len(vectors)} rows of weights, but the shape of its bias is {biases.shape}")
    return np.ascontiguousarray(vectors), biases, origin


def _probe(arrays: Mapping[str, NDArray[Any]]) -> tuple[str, str]:
    """Returns the names of a linear probe's weights and bias; empty where the file holds anything else."""
    known = next((names for names in PROBES if names[0] in arrays), ("", ""))
    beside = set(arrays) - set(known) - {"classes_", "n_iter_", "n_features_in_"}
    return ("", "") if beside else known


def _npz(file: Path) -> dict[str, NDArray[Any]]:
    def load() -> dict[str, NDArray[Any]]:
        with file.open("rb") as opened:
            check_size(opened, str(file))
            with np.load(opened, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        return {name: array for name, array in arrays.items() if array.dtype.kind in "fiu"}

    arrays: dict[str, NDArray[Any]] = _numpy(file, load, ".npz")
    return arrays


def _numpy(file: Path, load: Callable[[], Any], kind: str) -> Any:
    try:
        if kind == ".npy":
            # Mapped into memory: a header that names more numbers than the file holds allocates nothing.
            with file.open("rb") as opened:
                np.lib.format.read_magic(opened)
        return load()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{file} is not a {kind} file of numbers: {error}") from error
