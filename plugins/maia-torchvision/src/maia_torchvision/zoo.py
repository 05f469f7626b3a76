"""torchvision's models: the module, its weights, what they were evaluated on and the names of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maia_core.plugin import UsageError, did_you_mean, one_line
from maia_hub.libraries import fetching, is_offline
from maia_hub.weights import shows_progress
from maia_torch import Preprocessing
from maia_torch.weights import is_file, load_weights, read_weights
from maia_torch.zoo import RANDOM, RANDOM_NOTE, Built, same_random_numbers

CLASSIFICATION = "torchvision.models"
SEGMENTATION = "torchvision.models.segmentation"
DETECTION = "torchvision.models.detection"
"""Packages of the models that take single images; video, optical flow and quantised ones are left out."""

INCEPTIONS = ("googlenet", "inception_v3")
"""Models whose published weights need a rescaled input."""

WHICH = "torchvision stands for many models: write torchvision/NAME; `maia systems list torchvision` lists them"


def names() -> list[str]:
    """Returns the names of all models that take single images."""
    return [name for name in models.list_models() if _package(name) in (CLASSIFICATION, SEGMENTATION, DETECTION)]


def build(name: str, weights: str, size: int | tuple[int, int] | None, classes: Sequence[str] | None) -> Built:
    """Builds a model.

    Args:
        name: One of `names()`.
        weights: torchvision's name of weights, a file, or `random`.
        size: Input in pixels; None: as the weights were evaluated.
        classes: Names of the outputs; None: the weights' own.

    Raises:
        UsageError: there is no such model, or no such weights, or a file is not of this model.
        RunError: the weights cannot be fetched.
    """
    offered = _offered(name)
    note = ""
    if weights == RANDOM:
        module = _random(name, len(classes) if classes else None)
        note = RANDOM_NOTE
    elif is_file(weights):
        module, note = _from_file(name, weights, classes)
    else:
        module = _fetched(name, _member(offered, name, weights))
    chosen = offered[weights] if weights in offered.__members__ else getattr(offered, "DEFAULT", None)
    if classes is None:
        classes = _classes(module, [] if chosen is None else chosen.meta.get("categories", []))
    detects = _package(name) == DETECTION
    preprocess = _detector_input(module.transform, size) if detects else _input(chosen, size)
    if detects:
        return Built(module.backbone, preprocess, classifier=False, note=note)
    return Built(module, preprocess, classes, note=note)


def skeleton(name: str, weights: str) -> nn.Module:
    """Returns the modules of a model without values; see `build`, also for what it raises."""
    offered = _offered(name)
    if weights != RANDOM and not is_file(weights):
        _member(offered, name, weights)
    module = _without_values(name)
    part: nn.Module = module.backbone if _package(name) == DETECTION else module
    return part


def _offered(name: str) -> Any:
    """Returns the weights of a model, by name."""
    known = names()
    if name not in known:
        hint = did_you_mean(name, known) or " `maia systems list torchvision` lists them."
        raise UsageError(f"torchvision has no model '{name}' for single images.{hint}" if name else WHICH)
    return models.get_model_weights(name)


def _package(name: str) -> str:
    return str(models.get_model_builder(name).__module__).rpartition(".")[0]


def _member(offered: Any, name: str, weights: str) -> Any:
    members = offered.__members__
    if weights not in members:
        hint = did_you_mean(weights, members) or f" It has {', '.join(members) or 'none'}."
        raise UsageError(f"{name} has no weights '{weights}'.{hint} A file or 'random' will do, too.")
    return offered[weights]


def _fetched(name: str, weights: Any) -> Any:
    """Builds a model with torchvision's weights: from its cache, or fetched now."""
    cached = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    with fetching(f"{weights.name} of torchvision/{name}"):
        if is_offline() and not cached.is_file():
            raise OSError("they are not in the cache, and HF_HUB_OFFLINE forbids fetching them")
        # The builder knows what the weights need beside the arrays, such as inputs scaled in another way.
        return models.get_model(name, weights=weights, progress=shows_progress())


def _random(name: str, outputs: int | None, **options: Any) -> Any:
    with same_random_numbers():
        return _empty(name, outputs, **options)


def _empty(name: str, outputs: int | None, **options: Any) -> Any:
    """Builds a model without any published weights."""
    if _package(name) != CLASSIFICATION:
        options["weights_backbone"] = None
    if name in INCEPTIONS:
        options.setdefault("init_weights", True)
    if outputs is not None:
        options["num_classes"] = outputs
    try:
        return models.get_model(name, weights=None, **options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be built: {one_line(error)}") from error


def _from_file(name: str, path: str, classes: Sequence[str] | None) -> tuple[Any, str]:
    """Builds a model with as many outputs as the file's weights have; of a detector, the backbone's alone are read.

    Returns:
        The model, and what the user must know of the file.
    """
    if _package(name) == DETECTION:
        module = _random(name, None)
        return module, load_weights(module.backbone, path, inside="backbone.")
    expected: dict[str, torch.Tensor] = _without_values(name).state_dict()
    found = read_weights(path, expected).tensors
    last = found.get(_last(expected))
    outputs = None if last is None or not last.ndim else len(last)
    if None not in (classes, outputs) and outputs != len(classes or ()):
        raise UsageError(f"{path} has {outputs} outputs, but {len(classes or ())} names of classes were given")
    module = _random(name, outputs, **_as_trained(name, found))
    return module, load_weights(module, path)


def _without_values(name: str) -> Any:
    """Returns a model whose weights have names and shapes only."""
    try:
        with torch.device("meta"):  # no memory, no time
            return _empty(name, None)
    except NotImplementedError:  # RegNets compute their widths from tensors.
        return _empty(name, None)


def _as_trained(name: str, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Returns how torchvision builds a model for weights like its own: with their auxiliary head, on their input."""
    helped = any(key.lower().startswith("aux") for key in weights)
    if name in INCEPTIONS:
        return {"aux_logits": helped, "transform_input": True, "init_weights": False}
    return {"aux_loss": True} if helped and _package(name) == SEGMENTATION else {}


def _classes(module: nn.Module, categories: Sequence[str]) -> Sequence[str]:
    """Returns the published names, as far as the model has that many outputs."""
    weights = module.state_dict()
    return categories if len(weights[_last(weights)]) == len(categories) else ()


def _last(weights: Mapping[str, torch.Tensor]) -> str:
    """Returns the name of the weights that come last, a bias if there is one: their first axis is the outputs."""
    return [name for name, value in weights.items() if value.ndim][-1]


def _input(weights: Any, size: int | tuple[int, int] | None) -> Preprocessing:
    """Returns the evaluation of weights; with another size, in the same proportions.

    Segmentation networks are shown whole images, whatever their proportions, unless the size has two sides.
    """
    if weights is None:
        return Preprocessing(size or 224)
    shown = weights.transforms()
    is_whole = not hasattr(shown, "crop_size") and not isinstance(size, tuple)
    crop = getattr(shown, "crop_size", shown.resize_size)[0]
    resize = shown.resize_size[0]
    if isinstance(size, int):
        crop, resize = size, round(size * resize / crop)
    wide = size if isinstance(size, tuple) else None
    return Preprocessing(
        wide or crop,
        None if wide or is_whole else resize,
        mean=tuple(shown.mean),
        std=tuple(shown.std),
        interpolation=shown.interpolation.value,
        fit="whole" if is_whole else "crop",
    )


def _detector_input(transform: GeneralizedRCNNTransform, size: int | tuple[int, int] | None) -> Preprocessing:
    """A detector resizes images by itself; its backbone is shown their centre at the same scale."""
    fixed = transform.fixed_size
    side = fixed[::-1] if fixed else min(transform.min_size)
    mean, std = tuple(transform.image_mean), tuple(transform.image_std)
    return Preprocessing(size or side, mean=mean, std=std, fit="squash" if fixed else "crop")
