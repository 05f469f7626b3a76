"""A sparse autoencoder as read from a file: encoder, decoder, where it belongs, and its recorded figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from maia_sae.encoder import Encoder, Latents
from maia_sae.readouts import Array


@dataclass(frozen=True)
class Home:
    """What a file says about the layer that its autoencoder reads.

    Attributes:
        model: The library's name of the model; "" if the file does not say.
        layer: Its name of the layer or hook; "" likewise.
        token: Which tokens it was trained on: `class`, or `patches` for any others.
    """

    model: str = ""
    layer: str = ""
    token: str = "patches"


@dataclass(frozen=True)
class Autoencoder:
    """A sparse autoencoder.

    Attributes:
        encoder: See `Encoder`.
        decoder: Float32 of shape (latents, units of the layer); None if the file holds none.
        decoder_bias: Float32 of shape (units of the layer,).
        format: Which library wrote the file.
        home: The layer that it reads.
        recorded: Figures that the file states: `explained_variance`, `l0`.
        assumed: What MAIA had to assume of the file; "" for nothing.
        other: The encoder with the other centring, where the file does not tell the centring.
        settings: Settings of the file that decide a latent, by name.
    """

    encoder: Encoder
    decoder: Array | None
    decoder_bias: Array
    format: str = ""
    home: Home = Home()
    recorded: Mapping[str, float] = field(default_factory=dict)
    assumed: str = ""
    other: Encoder | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Units of the layer that it reads."""
        return int(self.encoder.weights.shape[1])

    @property
    def latents(self) -> int:
        """How many latents it has."""
        return len(self.encoder.weights)

    def readout(self) -> Latents:
        """Returns the latents as units."""
        return Latents(self.encoder, self.assumed)

    @property
    def centring(self) -> str:
        """Whether the encoder subtracts the decoder's bias, in words."""
        if self.encoder.centre.any():
            return "subtracts the decoder's bias from its input"
        return "does not subtract the decoder's bias" if np.any(self.decoder_bias) else "has no decoder bias"
