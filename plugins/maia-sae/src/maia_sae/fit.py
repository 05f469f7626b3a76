"""Measures how well an autoencoder fits the layer that it is attached to, and which of its latents are idle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maia_sae.autoencoder import Autoencoder
from maia_sae.encoder import normalised
from maia_sae.readouts import Array, OnDevice, Readout

if TYPE_CHECKING:
    from torch import Tensor

MIN_EXPLAINED = 0.5
"""Explained variance below which an autoencoder does not describe its layer."""

MAX_OFF = 0.15
"""Difference of the explained variance to the recorded one that is worth a word."""

MAX_RATIO = 2.0
"""The same of L0, as a ratio."""

DENSE = 0.5
"""Share of positions above which a latent is dense: it says little about any one of them."""

STEP = 1 << 24
"""Most latents' values that are computed at once: 64 MB."""


@dataclass(frozen=True)
class Fit:
    """What an autoencoder does on some images.

    Attributes:
        images: How many images.
        positions: How many positions (places of the map, tokens) of all images.
        explained_variance: 1 minus the share of the variance that decoding the latents does not restore; NaN without
            a decoder.
        l0: Latents that are on at a position, on average.
        frequency: Share of the positions at which each latent is on: (latents,).
    """

    images: int
    positions: int
    explained_variance: float
    l0: float
    frequency: Array

    @property
    def dead(self) -> list[int]:
        """Latents that no position of the images turns on."""
        return np.flatnonzero(self.frequency == 0).tolist()

    @property
    def dense(self) -> list[int]:
        """Latents that are on at more than half of the positions."""
        return np.flatnonzero(self.frequency > DENSE).tolist()

    def reason(self, latent: int) -> str:
        """Returns why a latent is idle, in words; "" if it is not."""
        if self.frequency[latent] == 0:
            return f"dead: off on all of {self.images} images"
        if self.frequency[latent] > DENSE:
            return f"dense: on at {self.frequency[latent]:.0%} of the positions of {self.images} images"
        return ""


class FitCounter:
    """Adds up a `Fit` from the values of a layer."""

    def __init__(self, latents: Readout, autoencoder: Autoencoder | None = None) -> None:
        """Counts what latents do, and what decoding them restores if they are an autoencoder's."""
        self._latents = latents
        self._decoder = self._bias = None
        if autoencoder is not None and autoencoder.decoder is not None:
            self._normalize = autoencoder.encoder.normalize
            self._decoder, self._bias = OnDevice(autoencoder.decoder), OnDevice(autoencoder.decoder_bias)
        self._on = np.zeros(latents.units, np.int64)
        self._sum = np.zeros(1)
        self._squares = self._missed = 0.0
        self.images = self._positions = 0

    def add(self, values: Tensor) -> None:
        """Counts values of shape (images, units, ...)."""
        rows = values.float().movedim(1, -1).flatten(0, -2)
        self.images += len(values)
        step = max(1, STEP // self._latents.units)
        for first in range(0, len(rows), step):
            self._add(rows[first : first + step])

    def _add(self, rows: Tensor) -> None:
        latents = self._latents.all(rows)
        self._on += (latents != 0).sum(0).cpu().numpy()
        self._positions += len(rows)
        double = rows.double()
        self._sum = self._sum + double.sum(0).cpu().numpy()
        self._squares += double.square().sum().item()
        if self._decoder is not None and self._bias is not None:
            decoded = latents @ self._decoder(rows) + self._bias(rows)
            _, scale, offset = normalised(rows, self._normalize)
            self._missed += (decoded * scale + offset - rows).double().square().sum().item()

    def fit(self) -> Fit:
        """Returns the figures of everything added so far."""
        count = max(self._positions, 1)
        variance = self._squares - float((self._sum**2).sum()) / count
        explained = 1 - self._missed / variance if self._decoder is not None and variance > 0 else float("nan")
        frequency = np.asarray(self._on / count, np.float32)
        return Fit(self.images, self._positions, explained, float(self._on.sum()) / count, frequency)


def complaints(autoencoder: Autoencoder, fit: Fit) -> Iterator[str]:
    """Yields what is wrong with a fit, a sentence each."""
    recorded = autoencoder.recorded
    explained = fit.explained_variance
    expected = recorded.get("explained_variance")
    if explained < MIN_EXPLAINED:
        told = "" if expected is None else f" (the file records {expected:.2f})"
        yield (
            f"it restores {explained:.0%} of the layer's variance on {fit.images} images{told}, less than "
            f"{MIN_EXPLAINED:.0%}: it was probably trained on another layer, other tokens or another preprocessing"
        )
    elif expected is not None and abs(explained - expected) > MAX_OFF:
        yield (
            f"it restores {explained:.0%} of the layer's variance on {fit.images} images, but the file records "
            f"{expected:.0%}: check the layer and the preprocessing"
        )
    l0 = recorded.get("l0")
    if fit.l0 == 0:
        yield f"none of its latents is on anywhere in {fit.images} images"
    elif l0 and not 1 / MAX_RATIO <= fit.l0 / l0 <= MAX_RATIO:
        yield f"{fit.l0:.3g} latents are on at a position, but the file records {l0:.3g}"


def better(fits: Sequence[Fit]) -> int:
    """Returns which of several encoders restores most of the variance."""
    return int(np.argmax([-np.inf if np.isnan(fit.explained_variance) else fit.explained_variance for fit in fits]))
