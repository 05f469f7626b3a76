"""The sparse autoencoders that are attached to a model's layers."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from maia_core.plugin import MaiaError, UsageError
from maia_sae import MIN_EXPLAINED, Autoencoder, Fit, Latents, Readout, WidthError, better, complaints, read_autoencoder
from maia_torch.attached import CENSUS, CHECKED, fitting, home_layer, is_home, measured
from maia_torch.layers import Layer, at_token
from maia_torch.network import Network


class Autoencoders:
    """Reads autoencoders for the layers of one model, and checks that they fit."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._fits: dict[str, Fit] = {}
        self._bases: dict[str, Layer] = {}
        self._lock = threading.Lock()

    def home(self, path: str) -> Layer:
        """Returns the layer that an autoencoder's file names.

        Raises:
            UsageError: the file cannot be read or names none, or the model lacks it.
        """
        autoencoder = read_autoencoder(path)
        return home_layer(autoencoder.home, self._network.engine.layers, autoencoder.units, path)

    def attach(self, layer: Layer, path: str) -> tuple[Layer, Latents]:
        """Reads a file for a layer; returns the layer at the tokens that the autoencoder was trained on, and latents.

        In a run, the model is measured on a few of the run's images: the user is warned where the autoencoder does not
        fit, and where the file does not say the centring, the one that restores more counts.

        Raises:
            UsageError: the file cannot be read, or it does not fit the layer.
        """
        try:
            autoencoder = read_autoencoder(path, layer.info.units)
        except WidthError as error:
            units = read_autoencoder(path).units
            raise UsageError(f"{error}; {fitting(self._network.engine.layers, units)}") from error
        home = autoencoder.home
        name = f"{self._network.name}:{layer.name}:sae={path}"
        at_home = [one for one in self._network.engine.layers if is_home(one, home)]
        if at_home and not any(one.module == layer.module for one in at_home):
            self._network.warn(f"{name}: the file says that it reads {home.layer}, here {at_home[0].name}")
        if home.token == "class" and layer.layout.token == "patches":
            layer = at_token(layer, "class", layer.name)
        return layer, self._checked(autoencoder, layer, name)

    def keep(self, derived: Layer, base: Layer) -> None:
        """Notes which layer the latents of another are computed from."""
        with self._lock:
            self._bases[derived.name] = base

    def reason(self, layer: Layer, unit: int) -> str:
        """Returns why a latent is idle on the images of the check, in words; "" if it is not, or was not checked."""
        fit = self._fits.get(f"{self._network.name}:{layer.name}")
        return fit.reason(unit) if fit is not None else ""

    def idle(self, layer: Layer) -> Mapping[int, str]:
        """Returns the dead and the dense latents of a layer by number, each with the reason in words.

        They are measured on `CENSUS` images of the run's data set, once. Empty without a run, and for any layer that
        does not hold latents.
        """
        base = self._bases.get(layer.name)
        if base is None or layer.readout is None or self._network.context is None:
            return {}
        (fit,) = measured(self._network, base, [(layer.readout, None)], CENSUS)
        return {unit: fit.reason(unit) for unit in sorted([*fit.dead, *fit.dense])}

    def fit(self, layer: Layer) -> Fit | None:
        """Returns how an autoencoder fits its layer; None if it was not checked."""
        return self._fits.get(f"{self._network.name}:{layer.name}")

    def _checked(self, autoencoder: Autoencoder, layer: Layer, name: str) -> Latents:
        candidates = [autoencoder]
        if autoencoder.other is not None:
            candidates.append(replace(autoencoder, encoder=autoencoder.other))
        latents = [one.readout() for one in candidates]
        if self._network.context is None or autoencoder.decoder is None:
            return latents[0]
        pairs: list[tuple[Readout, Autoencoder | None]] = list(zip(latents, candidates, strict=True))
        try:
            fits = measured(self._network, layer, pairs, CHECKED)
        except MaiaError as error:
            self._network.warn(f"{name}: MAIA could not check that it fits ({error})")
            return latents[0]
        # Without a clear fit the file's most likely centring stays.
        best = number if fits[number := better(fits)].explained_variance >= MIN_EXPLAINED else 0
        with self._lock:
            self._fits[name] = fits[best]
        for line in complaints(autoencoder, fits[best]):
            self._network.warn(f"{name}: {line}")
        if len(fits) > 1 and fits[best].explained_variance >= MIN_EXPLAINED:
            chosen, rejected = (f"{fits[one].explained_variance:.0%}" for one in (best, 1 - best))
            does = "subtracts" if candidates[best].encoder.centre.any() else "does not subtract"
            latents[best].assumed = (
                f"the file does not say whether the encoder subtracts the decoder's bias; MAIA {does} it and restores "
                f"{chosen} of the layer's variance on {fits[best].images} images, against {rejected} otherwise"
            )
        return latents[best]
