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

Membership = Callable[[Finding], NDArray[np.bool_]]
"""Returns which of the class's images are in a finding's subgroup: shape (images,)."""


def failure_table(
    name: str, findings: Sequence[Finding], probabilities: NDArray[np.float64], membership: Membership
) -> tuple[Failures, ...]:
    """Returns a row for the class, and one for each finding.

    Args:
        name: The class.
        findings: Each names a subgroup of the class.
        probabilities: The probability of the class on its held-out images, float64 of shape (images,).
        membership: Decides which of these images are in a subgroup.
    """
    right = probabilities >= RIGHT
    rows = [Failures(subgroup=name, inside=_share(right))]
    for finding in findings:
        inside = membership(finding)
        low = inside if finding.direction == "lower" else ~inside
        rows.append(
            Failures(
                subgroup=finding.subgroup,
                direction=finding.direction,
                inside=_share(right[inside]),
                outside=_share(right[~inside]),
                precision=_share(~right[low][:AT]),
            )
        )
    return tuple(rows)


def _share(hits: NDArray[np.bool_]) -> Share:
    return Share(hits=int(hits.sum()), of=int(hits.size))
