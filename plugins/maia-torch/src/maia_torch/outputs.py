"""What a module returned: one tensor, or several in tuples and dicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

DEPTH = 2
"""How many containers may lie in one another."""


def tensors(output: Any, name: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors of an output with their names: keys and numbers, joined by dots; "" for a bare tensor."""
    if isinstance(output, Tensor):
        yield name, output
    if not isinstance(output, (Mapping, tuple, list)):
        return
    items: Iterable[tuple[Any, Any]] = output.items() if isinstance(output, Mapping) else enumerate(output)
    if depth:
        for key, item in items:
            yield from tensors(item, f"{name}.{key}" if name else str(key), depth - 1)


def tensor(output: Any, name: str) -> Tensor | None:
    """Returns the tensor of that name, or None."""
    if isinstance(output, Tensor):
        return output if not name else None
    return next((found for known, found in tensors(output) if known == name), None)
