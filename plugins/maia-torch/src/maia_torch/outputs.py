"""What a module returned: one tensor, or several in tuples and dicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

DEPTH = 2
"""How many containers may lie in one another."""


def tensors(output: Any, name: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors of numbers in an output with their names: keys joined by dots; "" for a bare tensor.

    Quantised numbers are turned into the floats that they stand for. Whole numbers (indices), truth values and complex
    numbers have no activations; sparse and nested tensors have no axes that could be read.
    """
    if isinstance(output, Tensor):
        if output.is_quantized:
            yield name, output.dequantize()
        elif output.is_floating_point() and output.layout == torch.strided and not output.is_nested:
            yield name, output
        return
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(output, (tuple, list)):
        items = enumerate(output)
    elif isinstance(output, Mapping) or dataclasses.is_dataclass(output):
        fields = dataclasses.fields(output) if dataclasses.is_dataclass(output) else ()
        named = {field.name: getattr(output, field.name) for field in fields} | getattr(output, "__dict__", {})
        items = (output if isinstance(output, Mapping) else named).items()
    if depth:
        for key, item in items:
            yield from tensors(item, f"{name}.{key}" if name else str(key), depth - 1)


def unread(output: Any) -> str:
    """Returns the type of an output that holds something, but no tensor of numbers; "" of any other."""
    if output is None or next(tensors(output), None) is not None:
        return ""
    return str(output.dtype) if isinstance(output, Tensor) else type(output).__name__


def tensor(output: Any, name: str) -> Tensor | None:
    """Returns the tensor of that name, or None."""
    return next((found for known, found in tensors(output) if known == name), None)
