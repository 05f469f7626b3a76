"""Writes an autoencoder as one safetensors file with all settings in its metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maia_core.plugin import UsageError
from maia_sae.autoencoder import Autoencoder


def write_autoencoder(autoencoder: Autoencoder, file: Path) -> None:
    """Writes a file that `read_autoencoder` reads without anything beside it.

    Raises:
        UsageError: the file cannot be written.
    """
    from safetensors.numpy import save_file

    encoder = autoencoder.encoder
    gated = encoder.gate is not None
    tensors = {
        "W_enc": encoder.weights.T,
        "b_mag" if gated else "b_enc": encoder.bias,
        "b_dec": autoencoder.decoder_bias,
        "W_dec": autoencoder.decoder,
        "threshold": encoder.threshold,
        "b_gate": encoder.gate,
    }
    if gated:
        scale = np.ones(autoencoder.latents, np.float32) if encoder.scale is None else encoder.scale
        tensors["r_mag"] = np.log(scale)
    centred = bool(encoder.centre.any())
    texts = {
        "format": "maia-sae",
        "library": autoencoder.format,
        # A file that names its architecture is known to subtract the bias, or not to.
        "architecture" if autoencoder.other is None else "activation": "gated" if gated else encoder.activation,
        "normalize_activations": encoder.normalize,
        "keeps_negative_values": str(encoder.signed).lower(),
        "model": autoencoder.home.model,
        "layer": autoencoder.home.layer,
        "token": autoencoder.home.token,
    }
    if autoencoder.other is None:
        texts["apply_b_dec_to_input"] = str(centred).lower()
    if gated:
        texts["activation_fn"] = encoder.activation
    if encoder.k:
        texts["k"] = str(encoder.k)
    texts |= {name: repr(value) for name, value in autoencoder.recorded.items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items() if array is not None}
    try:
        save_file(arrays, file, texts)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error}") from error
