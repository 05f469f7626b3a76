"""Which tokens of a layer are patches, in the order of the image's rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from maia_torch.layouts import Layout
from maia_torch.probing import Seen

Others = tuple[int, ...]
"""Numbers of the tokens that are not patches, ascending."""


class TokenPlaces:
    """Finds the patches among tokens by the way in which tokens change with the image.

    Before the first attention, tokens that no image decides (class, registers, queries) are the same for all images,
    and a patch changes only with its part of the image. Where this shows, it holds for later layers with as many
    tokens. Where nothing shows and the tokens are more than the patches, no map is sure.
    """

    def __init__(self) -> None:
        self._known: dict[int, Others | None] = {}  # by number of tokens; None: they are not patches in rows

    def placed(self, layout: Layout, one: Seen) -> Layout:
        """Returns a layout of tokens that says which are patches, or one without a map where that is not sure.

        Args:
            layout: Has the grid of the patches.
            one: What the layer returned, in the order of computation.
        """
        assert layout.grid is not None
        axis = layout.axes.index("L")
        tokens = one.shape[axis]
        others = self._others(tokens, layout.grid, one, axis)
        if others is None:
            return replace(layout, grid=None, prefix=0, others=(), placed=False)
        if others == tuple(range(len(others))):
            return replace(layout, prefix=len(others), others=())
        return replace(layout, prefix=0, others=others)

    def _others(self, tokens: int, grid: tuple[int, int], one: Seen, axis: int) -> Others | None:
        extra = tokens - math.prod(grid)
        change = one.changes.get(axis)
        if change is not None and change.everywhere.any():
            constant = tuple(np.flatnonzero(~change.everywhere).tolist())
            below = np.delete(change.below, constant)
            if len(constant) == extra and (constant or not below.all()):
                self._known[tokens] = constant if _in_rows(below, grid) else None
            elif constant:
                self._known[tokens] = None
        elif change is not None and not extra and tokens not in self._known:
            return None  # The same for all images: queries, or an embedding of places.
        if tokens in self._known or not extra:
            return self._known.get(tokens, ())
        # Tokens that pooling made fewer: those beside the patches stand where they stood before.
        alike = {
            "first" if others == tuple(range(extra)) else "last" if others[0] == known - extra else ""
            for known, others in self._known.items()
            if others is not None and len(others) == extra
        }
        if alike == {"first"}:
            return tuple(range(extra))
        return tuple(range(tokens - extra, tokens)) if alike == {"last"} else None


def _in_rows(below: np.ndarray, grid: tuple[int, int]) -> bool:
    """Says whether the patches that change with the lower half of the image can be the lower rows of a grid."""
    rows = below.reshape(grid)
    whole = rows[:, 0]
    return bool((rows == whole[:, None]).all() and (np.diff(whole.astype(int)) >= 0).all())
