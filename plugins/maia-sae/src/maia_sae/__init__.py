"""Sparse autoencoders and directions as units: readers of the libraries' files. Importing it does not import torch."""

from maia_sae.autoencoder import Autoencoder, Home
from maia_sae.common import WidthError
from maia_sae.directions import directions_file, is_sum
from maia_sae.encoder import Encoder, Latents
from maia_sae.fit import MIN_EXPLAINED, Fit, FitCounter, better, complaints
from maia_sae.formats import read_autoencoder
from maia_sae.readouts import Applied, Directions, Readout

__all__ = [
    "MIN_EXPLAINED",
    "Applied",
    "Autoencoder",
    "Directions",
    "Encoder",
    "Fit",
    "FitCounter",
    "Home",
    "Latents",
    "Readout",
    "WidthError",
    "better",
    "complaints",
    "directions_file",
    "is_sum",
    "read_autoencoder",
]
