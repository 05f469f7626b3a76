"""How a synthetic neuron responds: the value and the region of an expression in each image.

One concept responds to an image by the score of its detector (0 where it is not found) and the mask of what was found.
From these every expression has a value in [0, 1] and a region; it is *there* where its value is above 0.

    expression          value                                          region
    A OR B              mean of those that are there, 0 if none is     theirs together
    A | B (A given B)   that of A if B is there, else 0                that of A
    A AND B             the smallest, 0 unless all are there           theirs together
    NOT A               1 if A is not there, else 0                    nothing in particular

OR and given are the paper's (appendix C4). AND is the smallest value because the image shows all of them at most as
surely as the least sure one; this leaves `A AND NOT B` ("A but not B") the value and the region of A, as given does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Mask
from maia_labels.expression import And, Concept, Expression, Given, Not, Or

Vector = NDArray[np.float64]


def values(expression: Expression, scores: Mapping[str, Vector]) -> Vector:
    """Returns the value of an expression in each of n images.

    Args:
        expression: The expression.
        scores: For each of its concepts, float64 of shape (n,): the detector's best score in [0, 1], 0 where it found
            nothing, NaN where the image could not be read.

    Returns:
        float64 of shape (n,), values in [0, 1]; NaN where an image could not be read.
    """
    match expression:
        case Concept(text):
            return scores[text]
        case Not(part):
            inner = values(part, scores)
            return np.where(np.isnan(inner), inner, inner == 0)
        case And(parts):
            return np.asarray(np.min([values(part, scores) for part in parts], axis=0))
        case Or(parts):
            stacked = np.array([values(part, scores) for part in parts])
            return np.asarray(stacked.sum(axis=0) / np.maximum((stacked != 0).sum(axis=0), 1))
        case Given(part, condition):
            inner, present = values(part, scores), values(condition, scores)
            return np.where(present == 0, 0.0, inner)


def region(expression: Expression, scores: Mapping[str, float], masks: Mapping[str, Mask]) -> Mask | None:
    """Returns where in one image an expression is there.

    Args:
        expression: The expression.
        scores: For each of its concepts the detector's best score, 0 where it found nothing.
        masks: For each of its concepts everything that was found, bool of shape (height, width).

    Returns:
        A mask, or None where the expression is not there or points at nothing in particular (`NOT A`).
    """
    at = {text: np.array([score]) for text, score in scores.items()}
    if values(expression, at)[0] == 0:
        return None
    match expression:
        case Concept(text):
            return masks[text]
        case Not():
            return None
        case And(parts) | Or(parts):
            found = [mask for part in parts if (mask := region(part, scores, masks)) is not None]
            return np.logical_or.reduce(found) if found else None
        case Given(part, _):
            return region(part, scores, masks)
