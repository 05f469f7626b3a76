"""Decides whether a build ranks images in a faster precision."""

from __future__ import annotations

from collections.abc import Callable

from maia_exemplars.measured import Measurer
from maia_exemplars.options import FAST, Options
from maia_exemplars.passes import seconds
from maia_exemplars.preprocess import Pixels
from maia_exemplars.ranking import EXPECTED

MIN_SECONDS = 120.0
"""Expected seconds of an exact build below which a faster precision is not tried at all."""

MAX_FINALISTS = 3.0
"""Finalists per image, counting one per unit, above which nearly every image will be one."""

MIN_SPEEDUP = 1.5
"""How many times faster the faster precision must be to be of use."""


class PrecisionChoice:
    """Decides whether to rank in the faster precision.

    Attributes:
        times: Seconds per image in the faster precision and exactly, as far as they were measured.
    """

    def __init__(self, measurer: Measurer, options: Options, images: int, trial: Callable[[], Pixels]) -> None:
        self._measurer, self._options, self._images, self._trial = measurer, options, images, trial
        self.times = (0.0, 0.0)

    def is_tried(self) -> bool:
        """Returns whether the build will take so long, and skip so many images, that ranking them may pay."""
        if self._options.precision != "auto":
            return self._options.precision == FAST
        finalists = EXPECTED * self._options.k * sum(layer.units for layer in self._measurer.layers)
        if finalists > MAX_FINALISTS * self._images:
            return False
        pixels = self._trial()
        if not len(pixels):
            return False
        exact = seconds(self._measurer, pixels) / len(pixels)
        self.times = (exact, exact)
        return exact * self._images > MIN_SECONDS

    def is_worth(self, fast: Measurer) -> bool:
        """Returns whether the faster copy is so much faster that it is of use."""
        if self._options.precision == FAST:
            return True
        pixels = self._trial()
        self.times = (seconds(fast, pixels) / len(pixels), self.times[1])
        return self.times[0] * MIN_SPEEDUP < self.times[1]

    def pays(self, share: float) -> bool:
        """Returns whether ranking, and measuring a share of the images exactly, is expected to save time."""
        fast, exact = self.times
        return self._options.precision == FAST or fast + share * exact < exact
