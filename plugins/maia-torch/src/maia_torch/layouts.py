"""How a module's output is laid out, and how it becomes (images, units, rows, columns) or (images, units)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from maia_core.plugin import UsageError

if TYPE_CHECKING:
    from torch import Tensor

AXES = ("NC", "NCHW", "NHWC", "NLC", "LNC", "NCL")
"""Known orders of axes: N images, C units, H rows, W columns, L tokens."""

PREFIX = 16
"""Most tokens that may stand before those of the patches (class, distillation, registers)."""

Grid = tuple[int, int]
"""Rows and columns."""

Tokens = Literal["patches", "class", "all"]
"""The tokens at which MAIA reads the units: those of the patches, the class token, or every one."""

Features = Literal["first", "last", ""]
"""Where a kind of module puts its units: right after the images, at the end, or nothing is known."""


@dataclass(frozen=True)
class Layout:
    """The order of a layer's axes.

    Attributes:
        axes: One of `AXES`.
        prefix: Tokens before those of the patches; they have no place in the image and are dropped.
        grid: Rows and columns that the other tokens make, row by row.
        placed: False for tokens whose places are not known (queries, shuffled patches): a unit has no map then, its
            value is the maximum over the tokens.
        others: Numbers of more tokens that are not patches, from 0; negative ones count from the last token, -1.
        token: At which tokens the units are read. The class token is the first one that is not a patch; all tokens
            together have no map.
    """

    axes: str = "NCHW"
    prefix: int = 0
    grid: Grid | None = None
    placed: bool = True
    others: tuple[int, ...] = field(default=(), repr=False)  # Keys in caches hold the other fields as they print.
    token: Tokens = field(default="patches", repr=False)

    def __post_init__(self) -> None:
        if self.axes not in AXES:
            raise UsageError(f"a layout is one of {', '.join(AXES)}, not '{self.axes}'")

    def shape(self, output: Sequence[int]) -> tuple[int, ...]:
        """Returns the shape of one image's units: (units, rows, columns), or (units,) where there is no map."""
        units = output[self.axes.index("C")]
        if self.axes == "NC" or not self.placed or self.token != "patches":
            return (units,)
        rows, columns = self.grid or (output[self.axes.index("H")], output[self.axes.index("W")])
        # One position is not a map: there is nowhere else to look.
        return (units,) if rows == columns == 1 else (units, rows, columns)

    def values(self, output: Tensor) -> Tensor:
        """Returns a module's output as (images, units, rows, columns) or (images, units): a view where it is placed.

        Tokens without places come as one row: (images, units, 1, tokens).
        """
        if self.axes == "NC":
            return output
        if "L" in self.axes:
            tokens = output.permute(*(self.axes.index(axis) for axis in "NCL"))
            if self.token == "class":
                return tokens[:, :, self._class_token(tokens.shape[2])]
            if self.token == "all":
                return tokens[:, :, None]
            tokens = tokens[:, :, self.prefix :]
            if self.others:
                tokens = tokens[:, :, self._patches(output.shape[self.axes.index("L")])]
            if self.grid is None:
                return tokens[:, :, None]
            output = tokens.reshape(*tokens.shape[:2], *self.grid)
        elif self.axes == "NHWC":
            output = output.permute(0, 3, 1, 2)
        return output.flatten(1) if tuple(output.shape[2:]) == (1, 1) else output

    @property
    def key(self) -> str:
        """Tells layouts apart, in caches and indexes."""
        token = "" if self.token == "patches" else f" token={self.token}"
        return f"{self} others={self.others}{token}" if self.others else f"{self}{token}"

    def at(self, token: Tokens, layer: str) -> Layout:
        """Returns the layout that reads other tokens.

        Raises:
            UsageError: the layer has no tokens, or no class token.
        """
        if "L" not in self.axes:
            raise UsageError(f"{layer} has no tokens, so that it has no token={token}")
        if token == "class" and not self.prefix and not self.others:
            raise UsageError(
                f"MAIA finds no class token in {layer}: all its tokens are patches, or it cannot tell which are not; "
                "state the layout of the module (layouts) with a prefix, or use token=patches or token=all"
            )
        return replace(self, token=token)

    def _class_token(self, tokens: int) -> int:
        return 0 if self.prefix else min(number % tokens for number in self.others)

    def _patches(self, tokens: int) -> list[int]:
        """Returns the numbers of the patches, counted after the prefix."""
        others = {number % tokens for number in self.others}
        return [number - self.prefix for number in range(self.prefix, tokens) if number not in others]


CHANNELS_FIRST = Layout()


def find_layout(
    shape: Sequence[int], images: int | None, features: Features, grids: Sequence[Grid], size: Grid
) -> Layout | None:
    """Returns how an output is laid out, as far as its shape tells; None: it has no units.

    Args:
        shape: Shape of the output.
        images: Which axis counts the images; None: none does (windows, heads).
        features: Where this kind of module puts its units.
        grids: Rows and columns of the maps that the network is known to have.
        size: Height and width of the input.
    """
    if images == 0 and len(shape) == 2:
        return Layout("NC")
    if images == 0 and len(shape) == 4:
        return _of_map(shape, features, size)
    if len(shape) == 3 and images in (0, 1):
        return _of_tokens(shape, images, features, grids, size)
    return None


def _of_map(shape: Sequence[int], features: Features, size: Grid) -> Layout | None:
    """A map has the proportions of the input, within one position; of two that fit, the better one, then NCHW."""
    off = {"NCHW": _off(shape[2], shape[3], size), "NHWC": _off(shape[1], shape[2], size)}
    if features == "first":
        return Layout("NCHW")
    if features == "last":
        del off["NCHW"]
    best = min(off, key=off.__getitem__)
    return Layout(best) if off[best] <= 1 else None


def _off(rows: int, columns: int, size: Grid) -> float:
    """By how many positions rows and columns miss the proportions of the input."""
    height, width = size
    return abs(rows * width - columns * height) / max(height, width)


def _of_tokens(
    shape: Sequence[int], images: int, features: Features, grids: Sequence[Grid], size: Grid
) -> Layout | None:
    orders = ["NLC", "NCL"] if images == 0 else ["LNC"]
    if features:
        orders = [axes for axes in orders if axes.endswith("C") == (features == "last")]
    fits = [(axes, token_grid(shape[axes.index("L")], grids, size)) for axes in orders]
    # A grid that a map of the network has tells more than half of one.
    fits.sort(key=lambda fit: (fit[1] is None, fit[1] not in grids))
    axes, grid = fits[0] if fits else ("", None)
    return None if grid is None else Layout(axes, shape[axes.index("L")] - math.prod(grid), grid)


def token_grid(tokens: int, grids: Iterable[Grid], size: Grid) -> Grid | None:
    """Returns the rows and columns of patches in a row of tokens, or None where they fit no grid.

    Of the grids that the network's maps have (also halved, as pooling does), it is the one with the fewest tokens to
    spare, at most `PREFIX`. A network without any map has square patches: the grid has the input's proportions.
    """
    known = set(grids)
    pooled = {(math.ceil(rows / by), math.ceil(columns / by)) for rows, columns in known for by in (1, 2, 4, 8)}
    if not known:
        height, width = size
        for number in range(tokens, max(tokens - PREFIX, 0), -1):
            rows = max(1, round(math.sqrt(number * height / width)))
            pooled.add((rows, max(1, round(rows * width / height))))
    fits = [grid for grid in pooled if 0 <= tokens - math.prod(grid) <= PREFIX and math.prod(grid) > 1]
    return min(fits, key=lambda grid: tokens - math.prod(grid), default=None)
