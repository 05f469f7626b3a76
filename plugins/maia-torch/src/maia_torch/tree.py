"""A model's layers as a tree of names, in which siblings that are alike share a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from maia_core.plugin import LayerInfo


class Row(NamedTuple):
    """One line of the tree.

    Attributes:
        text: The layer's last name, drawn as a branch.
        layer: The layer; None where the name only groups others.
    """

    text: str
    layer: LayerInfo | None


@dataclass
class _Node:
    name: str
    layer: LayerInfo | None = None
    children: dict[str, _Node] = field(default_factory=dict)

    def form(self, depth: int | None) -> tuple[object, ...]:
        """What alike siblings have in common: everything that is shown of them but their own name."""
        shape = None if self.layer is None else (self.layer.shape, self.layer.kind)
        below = None if depth is None else depth - 1
        return (shape, *((child.name, child.form(below)) for child in self.children.values() if depth != 1))


def rows(layers: Sequence[LayerInfo], collapse: bool = True, depth: int | None = None) -> Iterator[Row]:
    """Yields the lines of the tree.

    Args:
        layers: In the order of computation.
        collapse: Whether siblings with consecutive numbers and the same layers below share a line (`0-7`).
        depth: How many levels of names are shown; None: all.
    """
    root = _Node("")
    for layer in layers:
        node = root
        path, mark, part = layer.name.partition("#")
        for name in path.split("."):
            node = node.children.setdefault(name, _Node(name))
        if mark:
            node = node.children.setdefault(mark + part, _Node(mark + part))
        node.layer = layer
    yield from _lines(root, "", collapse, depth)


def _lines(node: _Node, indent: str, collapse: bool, depth: int | None) -> Iterator[Row]:
    shown = list(_siblings(list(node.children.values()), collapse, depth))
    for number, (name, child) in enumerate(shown):
        last = number == len(shown) - 1
        outer = not node.name
        yield Row(name if outer else f"{indent}{'└─' if last else '├─'} {name}", child.layer)
        if depth is None or depth > 1:
            below = indent if outer else indent + ("   " if last else "│  ")
            yield from _lines(child, below, collapse, None if depth is None else depth - 1)


def _siblings(nodes: list[_Node], collapse: bool, depth: int | None) -> Iterator[tuple[str, _Node]]:
    """Yields what to call each sibling, and the sibling itself or the first of those that are alike."""
    by_name = {node.name: node for node in nodes}
    done: set[str] = set()
    for node in nodes:
        if node.name in done:
            continue
        numbered = re.fullmatch(r"(.*?)([0-9]+)", node.name)
        last = node.name
        if collapse and numbered is not None:
            stem, number = numbered[1], int(numbered[2])
            form = node.form(depth)
            while (other := by_name.get(f"{stem}{number + 1}")) is not None and other.form(depth) == form:
                number += 1
                last = other.name
                done.add(last)
            last = str(number) if last != node.name else last
        yield node.name if last == node.name else f"{node.name}-{last}", node
