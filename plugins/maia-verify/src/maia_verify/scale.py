"""From activations to the level from which on an image activates the unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maia_core.plugin import Exemplar
from maia_verify.fresh import Group

MIN_RESPONSE = 0.25
"""An image activates the unit if it comes this share of the way from other things to the exemplars."""

TOP = 15
"""Exemplars whose median is the top of the scale."""


class ResponseScale(NamedTuple):
    """What activations mean: `base` is usual, `top` an exemplar's, from `level` on an image activates the unit."""

    base: float
    top: float
    level: float


def response_scale(controls: Sequence[Group], exemplars: Sequence[Exemplar]) -> ResponseScale | None:
    """Returns the scale of a unit; None where no exemplar activates it more than pictures of other things do."""
    means = [group.mean for group in controls]
    base = float(np.median(means))
    # A unit that responds to something rare has exemplars that it does not respond to.
    above = [exemplar.activation for exemplar in exemplars[:TOP] if exemplar.activation > base]
    if not above:
        return None
    top = float(np.median(above))
    return ResponseScale(base, top, max(float(np.quantile(means, 0.9)), base + MIN_RESPONSE * (top - base)))
