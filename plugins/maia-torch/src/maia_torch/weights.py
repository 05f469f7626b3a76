"""Weights from files that hold numbers and nothing else: no code of a file is ever run."""

from __future__ import annotations

import difflib
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maia_core.plugin import UsageError, one_line

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""How a file of weights may end."""

INSIDE = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema", "ema", "teacher", "student")
"""Keys under which training scripts keep weights beside other things; of several that fit, the first is taken."""

WRAPPERS = frozenset(
    ("module", "model", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
)
"""Parts of names that wrappers add (data parallel, trainers, compiled, sharded, checkpointed), anywhere in a name."""

COUNTS = ".num_batches_tracked"
"""Counts of batches, which only training reads: files may lack them."""

MAX_LEVELS = 50
"""Longest prefix, in levels of a name: a network has fewer, and a name from elsewhere may have a million."""

MAX_INFLATED = 16 << 20
"""Bytes by which the members of a file may exceed twice its size: TorchScript compresses its code."""


POINTER, MAX_POINTER = b"version https://git-lfs", 1024
"""How a pointer of Git LFS begins, which stands in place of a file that was not fetched, and its largest size."""


class Weights(NamedTuple):
    """Weights under the names of a network.

    Attributes:
        tensors: By the network's names as far as they fit, else by the file's.
        note: What of the file was not taken; "" where all was.
    """

    tensors: dict[str, Tensor]
    note: str


def is_file(weights: str) -> bool:
    """Says whether `weights` is meant as a file: by its ending, or because there is one."""
    return weights.endswith(SUFFIXES) or Path(weights).expanduser().is_file()


def read_weights(path: str, expected: Iterable[str], inside: str = "") -> Weights:
    """Reads the weights of a file under the names that a network expects, whatever they are wrapped in.

    The weights may lie inside of a training script's dicts. Their names may have any nesting of the `WRAPPERS`, and a
    prefix (`backbone.`) that the network lacks or has.

    Args:
        path: The file.
        expected: Names of the network's weights.
        inside: Where the network may lie in a larger one that the file was saved from (`visual.`).

    Raises:
        UsageError: the file is missing, broken, ambiguous, or holds more than numbers (pickles, which are not run).
    """
    names = list(expected)
    states = dict(_states(_content(path)))
    if not states:
        raise UsageError(f"{path} holds no weights by name; save model.state_dict()")
    aligned = {
        key: _aligned(state, names, inside, f"{path}{f' ({key})' if key else ''}") for key, state in states.items()
    }
    known = set(names)
    fits = {key: len(known & tensors.tensors.keys()) for key, tensors in aligned.items()}
    most = max(fits.values())
    best, *others = [key for key in fits if fits[key] == most]  # In the order of `INSIDE`.
    if not most:
        return aligned[max(states, key=lambda key: len(states[key]))]
    tensors, note = aligned[best]
    if others:
        unused = ", ".join(map(repr, others))
        note = f"{path} holds weights of this network several times; MAIA uses those under '{best}', not {unused}"
    return Weights(tensors, note)


def load_weights(module: nn.Module, path: str, inside: str = "") -> str:
    """Reads a file of weights into a module, all of them; returns what the user must know of the rest of the file.

    Args:
        module: Gets the weights.
        path: The file.
        inside: See `read_weights`.

    Raises:
        UsageError: the file cannot be read, or its weights are not this module's; the message names the first.
    """
    expected = module.state_dict()
    tensors, note = read_weights(path, expected, inside)
    missing = [name for name in expected if name not in tensors and not name.endswith(COUNTS)]
    unknown = [name for name in tensors if name not in expected]
    for names, verb in ((missing, "lack"), (unknown, "hold an unknown")):
        if names:
            near = difflib.get_close_matches(names[0], unknown if names is missing else missing, n=1)
            hint = f" (nearest: {near[0]})" if near else ""
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UsageError(f"the weights of {path} are not this network's: they {verb} {names[0]}{more}{hint}")
    tensors = {name: _dense(value) for name, value in tensors.items()}
    for name, value in tensors.items():
        if value.shape != expected[name].shape:
            shapes = f"{tuple(value.shape)}, not {tuple(expected[name].shape)}"
            raise UsageError(f"the weights of {path} are not this network's: {name} has the shape {shapes}")
        if fault := _fault(value, expected[name]):
            raise UsageError(f"the weights of {path} cannot be used: {name} {fault}")
    try:
        module.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise UsageError(f"the weights of {path} cannot be loaded: {one_line(error)}; save plain tensors") from error
    return note


def _dense(value: Tensor) -> Tensor:
    """Returns the numbers for which a quantised or a sparse tensor stands; any other as it is."""
    value = value.dequantize() if value.is_quantized else value
    return value if value.layout == torch.strided else value.to_dense()


def _fault(value: Tensor, expected: Tensor) -> str:
    """Returns why a tensor cannot stand in for another one of its shape; "" where it can."""
    if value.is_meta:
        return "has no values (device meta); save the network with its weights in memory"
    if expected.is_floating_point() != value.is_floating_point():
        return f"is {value.dtype}, not {expected.dtype}; save the weights before they are quantised or converted"
    wrong = int((~torch.isfinite(value)).sum()) if value.is_floating_point() else 0
    return (
        f"holds {wrong:,} numbers that are not finite; take a checkpoint from before training diverged" if wrong else ""
    )


def _content(path: str) -> Any:
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f"there is no file of weights {path}")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        _check_is_not_inflated(file)
        with warnings.catch_warnings():  # It warns of pickles that it then refuses.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(file, map_location="cpu", weights_only=True)
    except UsageError:
        raise
    except Exception as error:
        cause = one_line(error)
        if file.stat().st_size < MAX_POINTER and file.read_bytes().startswith(POINTER):
            raise UsageError(
                f"{path} is the pointer of Git LFS to a file of weights, not the file; run git lfs pull"
            ) from error
        if "weights_only" in cause or "TorchScript" in cause:
            raise UsageError(
                f"{path} holds more than numbers, and MAIA does not run what it holds: save model.state_dict() with "
                "torch.save, or as .safetensors"
            ) from error
        raise UsageError(f"{path} is not a file of weights, or a broken one ({cause})") from error


def _check_is_not_inflated(file: Path) -> None:
    """Checks that a file's members are not much larger than the file: torch writes weights uncompressed."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > 2 * file.stat().st_size + MAX_INFLATED:
            raise UsageError(f"{file} is compressed and would take {size:,} bytes; save it with torch.save")


def _states(content: Any, key: str = "", depth: int = 3) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yields the dicts of tensors in a file with the keys that lead to them, those under `INSIDE` first."""
    if not isinstance(content, Mapping):
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield key, tensors
    if depth:
        order = sorted(content, key=lambda name: INSIDE.index(name) if name in INSIDE else len(INSIDE))
        for name in order:
            yield from _states(content[name], f"{key}.{name}" if key else str(name), depth - 1)


def _aligned(state: dict[str, Tensor], expected: list[str], inside: str, where: str) -> Weights:
    """Returns weights under the expected names, as far as wrappers and one prefix are all that differs.

    Raises:
        UsageError: they are there several times, under other prefixes.
    """
    real = {_bare(name): name for name in expected}
    by_bare_name = {_bare(name): name for name in state}
    if len(real) != len(expected) or len(by_bare_name) != len(state):
        return Weights(state, "")  # Without the wrappers two names are one: only exact names are sure.
    added = [prefix for prefix, count in _prefixes(real) if count == len(real)]
    fits: dict[str, dict[str, str]] = {}
    for stripped in ["", *(prefix for prefix, count in _prefixes(by_bare_name) if 2 * count >= len(real))]:
        for prefix in ["", *added]:
            pairs = {
                real[prefix + name.removeprefix(stripped)]: original
                for name, original in by_bare_name.items()
                if name.startswith(stripped) and prefix + name.removeprefix(stripped) in real
            }
            if pairs and len(pairs) > len(fits.get(stripped, ())):
                fits[stripped] = pairs
    if not fits:
        return Weights(state, "")
    most = max(map(len, fits.values()))
    best = [prefix for prefix, pairs in fits.items() if len(pairs) == most]
    prefix = _bare(inside + "x").removesuffix("x") if inside else ""
    prefix = prefix if prefix in best else best[0]
    pairs = fits[prefix]
    taken = set(pairs.values())
    if prefix not in ("", inside) and any(set(fits[other].values()) != taken for other in best):
        raise UsageError(
            f"{where} holds these weights several times, under {', '.join(best)}: save those that you mean"
        )
    left = {name: value for name, value in state.items() if name not in taken}
    # A counter of an averaging wrapper is not a weight; names beyond a prefix belong to another part.
    within = {n: v for n, v in left.items() if _bare(n).startswith(prefix) and (v.ndim or "." in n)}
    beyond = sorted(n for n in left if not _bare(n).startswith(prefix))
    note = f"{where}: MAIA takes the weights under '{prefix}' and leaves out {beyond[0]} and the like" if beyond else ""
    return Weights({name: state[pairs[name]] for name in pairs} | within, "" if prefix == inside else note)


def _bare(name: str) -> str:
    """Returns a name without the parts that wrappers add."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _prefixes(names: Iterable[str]) -> list[tuple[str, int]]:
    """Returns the beginnings of names that end in a dot, the shortest first, with how many names have each."""
    parts = (name.split(".", MAX_LEVELS)[:-1] for name in names)
    counts = Counter(prefix for levels in parts for prefix in accumulate(f"{part}." for part in levels))
    return sorted(counts.items(), key=lambda item: len(item[0]))
