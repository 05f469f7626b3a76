"""Weights from files that hold numbers and nothing else: no code of a file is ever run."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maia_core.plugin import UsageError, one_line

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
"""How a file of weights may end."""

INSIDE = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")
"""Keys under which training scripts keep the weights beside other things."""

PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers (data parallel, compiled, trainers) put before every name."""


def is_file(weights: str) -> bool:
    """Says whether `weights` is meant as a file: by its ending, or because there is one."""
    return weights.endswith(SUFFIXES) or Path(weights).expanduser().is_file()


def read_weights(path: str) -> dict[str, Tensor]:
    """Reads the weights of a file, whatever they are wrapped in.

    Raises:
        UsageError: it is missing, broken, or holds more than numbers (pickled objects, whose code is not run).
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f"there is no file of weights {path}")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(file)
        else:
            with warnings.catch_warnings():  # It warns of pickles that it then refuses.
                warnings.simplefilter("ignore", UserWarning)
                found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        said = one_line(error)
        if "weights_only" in said or "TorchScript" in said:
            raise UsageError(
                f"{path} holds more than numbers, and what it holds is not run: save model.state_dict() with "
                "torch.save, or as .safetensors"
            ) from error
        raise UsageError(f"{path} is not a file of weights, or a broken one ({said})") from error
    while isinstance(found, Mapping) and (key := next((k for k in INSIDE if isinstance(found.get(k), Mapping)), "")):
        found = found[key]
    tensors = {str(k): v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        raise UsageError(f"{path} holds no weights by name; save model.state_dict()")
    return tensors


def unwrapped(found: dict[str, Tensor], expected: Container[str]) -> dict[str, Tensor]:
    """Returns weights under the names that a network expects, where only a wrapper's prefix differs."""
    for prefix in PREFIXES:
        if not any(name in expected for name in found) and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def load_weights(module: nn.Module, path: str, inside: str = "") -> None:
    """Reads a file of weights into a module, all of them.

    Args:
        module: Gets the weights.
        path: The file.
        inside: Where the module may lie in a larger one that the file was saved from (`visual.`): if names of the file
            begin so, those alone are taken.

    Raises:
        UsageError: the file cannot be read, or its weights are not this module's; the message names the first.
    """
    expected = module.state_dict()
    found = read_weights(path)
    if inside:
        outer = unwrapped(found, {inside + name for name in expected})
        found = {name.removeprefix(inside): value for name, value in outer.items() if name.startswith(inside)} or found
    found = unwrapped(found, expected)
    # Old files, and those of networks with frozen statistics, have no counts of batches, which only training reads.
    missing = [name for name in expected if name not in found and not name.endswith(".num_batches_tracked")]
    unknown = [name for name in found if name not in expected]
    for names, said in ((missing, "lack"), (unknown, "hold an unknown")):
        if names:
            other = unknown if names is missing else missing
            near = difflib.get_close_matches(names[0], other, n=1)
            hint = f" (nearest: {near[0]})" if near else ""
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UsageError(f"the weights of {path} are not this network's: they {said} {names[0]}{more}{hint}")
    for name, value in found.items():
        if value.shape != expected[name].shape:
            shapes = f"{tuple(value.shape)}, not {tuple(expected[name].shape)}"
            raise UsageError(f"the weights of {path} are not this network's: {name} has the shape {shapes}")
    module.load_state_dict(found)
