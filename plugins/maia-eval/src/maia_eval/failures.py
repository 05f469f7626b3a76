"""The failure table: how often a model is right on the subgroups that findings name, on held-out labelled images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from maia_bias import Finding
from maia_eval.bias_results import Failures, Share

AT = 10
"""Images among which precision is counted."""

RIGHT = 0.5
"""Probability from which on a class counts as predicted."""

Membership = Callable[[Finding], NDArray[np.float64]]
"""Returns how surely each of the class's images is in a finding's subgroup: float64 of shape (images,), in [0, 1]."""


def failure_table(
    name: str, findings: Sequence[Finding], probabilities: NDArray[np.float64], membership: Membership
) -> tuple[Failures, ...]:
    """Returns a row for the class, and one for each finding.

    Precision is counted among the ten images that are most surely on the low side. Of images that are on it equally
    surely, those come first to which the model gives the lowest probability of the class.

    Args:
        name: The class.
        findings: Each names a subgroup of the class.
        probabilities: The probability of the class on its held-out images, float64 of shape (images,).
        membership: Says how surely each of these images is in a subgroup; from 0.5 on it counts as inside.
    """
    right = probabilities >= RIGHT
    rows = [Failures(subgroup=name, inside=_share(right))]
    for finding in findings:
        surely = np.asarray(membership(finding), np.float64)
        inside = surely >= RIGHT
        low = inside if finding.direction == "lower" else ~inside
        order = np.lexsort((probabilities, -np.abs(surely - RIGHT)))
        rows.append(
            Failures(
                subgroup=finding.subgroup,
                direction=finding.direction,
                inside=_share(right[inside]),
                outside=_share(right[~inside]),
                precision=_share(~right[order[low[order]][:AT]]),
            )
        )
    return tuple(rows)


def _share(hits: NDArray[np.bool_]) -> Share:
    return Share(hits=int(hits.sum()), of=int(hits.size))
