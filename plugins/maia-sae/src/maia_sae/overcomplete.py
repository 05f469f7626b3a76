"""State dicts of overcomplete, whose files do not say which class they are of: a `config.json` beside them does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from maia_core.plugin import UsageError
from maia_sae.autoencoder import Home
from maia_sae.contents import Contents
from maia_sae.readouts import Array
from maia_sae.settings import is_whole, names_of, shown

CLASSES = ("SAE", "TopKSAE", "BatchTopKSAE", "JumpSAE", "RATopKSAE", "RAJumpSAE")
"""Classes that MAIA reads."""

ENCODER = {
    "encoder.final_block.0.weight": "W",
    "encoder.final_block.0.bias": "b",
    "encoder.weight": "W",
    "encoder.bias": "b",
}
"""Tensors of its encoder `linear`, and of the one that `untied()` makes."""

DICTIONARY = {f"dictionary.{name}" for name in ("_weights", "multiplier", "W", "C", "Relax")}
SETTINGS = {"class", "top_k", "running_threshold", "threshold_momentum", "bandwidth"}

SAY = (
    'write config.json beside it, such as {"class": "TopKSAE", "top_k": 32}, {"class": "BatchTopKSAE", '
    '"running_threshold": 0.4} or {"class": "SAE"}'
)


def is_overcomplete(contents: Contents) -> bool:
    """Says whether a file is one of overcomplete."""
    return any(name in contents.tensors for name in DICTIONARY)


def of_overcomplete(contents: Contents) -> tuple[Mapping[str, Array], dict[str, Any], Home]:
    """Returns tensors, settings in the words of `maia_sae.common`, and where the autoencoder belongs."""
    tensors, settings = contents.tensors, contents.settings
    if unknown := tensors.keys() - ENCODER.keys() - DICTIONARY - {"thresholds", "bandwidth"}:
        inner = [name for name in unknown if name.startswith("encoder.")]
        what = "its encoder has more than one linear layer" if inner else "MAIA does not know it"
        raise UsageError(f"it holds a tensor {names_of(unknown)}: {what}")
    if unknown := settings.keys() - SETTINGS - {"layer", "model"}:
        raise UsageError(f"{contents.source} sets {names_of(unknown)}, which MAIA does not know")
    parts = {what: tensors[name] for name, what in ENCODER.items() if name in tensors}
    if "W" not in parts:
        raise UsageError("its encoder is tied to its dictionary: call sae.untied() before you save it")
    decoder = _dictionary(tensors)
    common = {"encoder.weight": parts["W"], "W_dec": decoder}
    if "b" in parts:
        common["encoder.bias"] = parts["b"]
    home = Home(str(settings.get("model", "")), str(settings.get("layer", "")))
    values, threshold = _activation(settings, tensors.get("thresholds"), contents.source)
    if threshold is not None:
        common["threshold"] = np.broadcast_to(threshold, len(parts["W"])).astype(np.float32)
    return common, values, home


def _activation(
    settings: Mapping[str, Any], thresholds: Array | None, source: str
) -> tuple[dict[str, Any], Array | None]:
    """Returns the settings, and the thresholds: overcomplete keeps z >= threshold, and `Encoder` z > threshold."""
    name = settings.get("class", "JumpSAE" if thresholds is not None else None)
    if name is None:
        raise UsageError(f"it is of overcomplete and does not say which class, nor k or a threshold: {SAY}")
    if name not in CLASSES:
        raise UsageError(f"{source} sets class to {shown(name)}; MAIA reads {', '.join(CLASSES)}")
    if (thresholds is not None) != ("Jump" in name):
        has = "thresholds" if thresholds is not None else "no thresholds"
        raise UsageError(f"{source} sets class to {name}, but the file has {has}")
    if thresholds is not None:
        return {"architecture": "jumprelu", "apply_b_dec_to_input": False}, _below(np.exp(thresholds))
    if name == "BatchTopKSAE":
        threshold = settings.get("running_threshold")
        if not isinstance(threshold, (int, float)):
            raise UsageError(f"BatchTopKSAE needs its running_threshold, which its state dict does not hold: {SAY}")
        return {"architecture": "jumprelu", "apply_b_dec_to_input": False}, _below(np.array(threshold, np.float32))
    if "TopK" in name:
        if not is_whole(settings.get("top_k")):
            raise UsageError(f"{name} needs its top_k, which its state dict does not hold: {SAY}")
        return {"architecture": "topk", "k": settings["top_k"]}, None
    return {"architecture": "relu"}, None


def _below(threshold: Array) -> Array:
    return np.nextafter(threshold.astype(np.float32), np.float32(-np.inf))


def _dictionary(tensors: Mapping[str, Array]) -> Array:
    """Returns the decoder: the dictionary, at unit lengths as by default, or the archetypes' combinations."""
    multiplier = np.exp(tensors.get("dictionary.multiplier", np.float32(0)))
    if "dictionary._weights" in tensors:
        weights = tensors["dictionary._weights"]
        return np.asarray(weights / (np.linalg.norm(weights, axis=1, keepdims=True) + 1e-8) * multiplier, np.float32)
    shares = np.maximum(tensors["dictionary.W"], 0)
    shares /= shares.sum(1, keepdims=True) + 1e-8
    return np.asarray((shares @ tensors["dictionary.C"] + tensors["dictionary.Relax"]) * multiplier, np.float32)
