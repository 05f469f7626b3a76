"""What the data sets of this package share: every image has a class and an environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import LabelledDataset

Split = Literal["train", "validation", "test", "balanced"]
"""Part of a data set whose classes are paired with environments.

`train` and `validation` pair classes with environments and share no image, `test` has the pairing switched, and
`balanced` has every class in every environment equally often.
"""


@runtime_checkable
class CellDataset(LabelledDataset, Protocol):
    """A data set whose images show one class in one environment each.

    Neither classes nor environments of single images are in ids, titles or messages: a program never sees them.

    Attributes:
        domain: What all images show, such as "photographs of dogs".
        classes: Names of the classes, in the order of their numbers.
        environments: Names of the environments, likewise.
        cells: Numbers of class and environment of each image, int64 of shape (images, 2).
    """

    domain: str
    classes: Sequence[str]
    environments: Sequence[str]
    cells: NDArray[np.int64]


def mentioned(text: str, names: Sequence[str]) -> dict[str, int]:
    """Returns the names that a text mentions, as whole words, singular or plural, and where the last mention ends."""
    return {
        name: found.end()
        for name in names
        for found in re.finditer(rf"\b{re.escape(name)}(e?s)?\b", text, re.IGNORECASE)
    }
