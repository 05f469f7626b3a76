"""timm's models: the module, its weights, what they were evaluated on and the names of their classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import contextmanager
from math import floor
from typing import TYPE_CHECKING, Any

import timm
import torch
from timm.data.config import resolve_model_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import nn

from maia_core.plugin import UsageError, did_you_mean, one_line
from maia_exemplars.preprocess import Fit, Preprocessing
from maia_hub.libraries import fetching
from maia_torch import Layout
from maia_torch.weights import is_file, load_weights, read_weights
from maia_torch.zoo import RANDOM, RANDOM_NOTE, Built, same_random_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

WHICH = "timm stands for many models: write timm/NAME; `maia systems list timm PATTERN` lists them"

DEFAULT = "default"
"""The name of timm's own weights."""

FITS: dict[str, Fit] = {"center": "crop", "squash": "squash", "border": "letterbox"}
"""timm's ways to fit an image, in ours."""


def names() -> list[str]:
    """Returns the names of all models, with and without the tags of their weights."""
    return sorted({*timm.list_models(), *timm.list_pretrained()})


def build(name: str, weights: str, size: int | tuple[int, int] | None, classes: Sequence[str] | None) -> Built:
    """Builds a model.

    Args:
        name: One of `names()`.
        weights: `default`, a tag, a file or `random`.
        size: Input in pixels; None: as the weights were evaluated.
        classes: Names of the outputs; None: ImageNet's, where they are its.

    Raises:
        UsageError: there is no such model, or no such weights, or a file is not of this model.
        RunError: the weights cannot be fetched.
    """
    architecture = _architecture(name)
    note = ""
    if weights == RANDOM:
        module = _random(name, size, len(classes) if classes else None)
        note = RANDOM_NOTE
    elif is_file(weights):
        module, note = _from_file(name, weights, size, classes)
    else:
        module = _fetched(name if weights == DEFAULT else _tagged(architecture, weights), size)
    outputs = module.num_classes
    if classes is None:
        classes = _imagenet(module)
    return Built(module, _input(module, size), classes, None if outputs else False, _layouts(module, name), note)


def skeleton(name: str, weights: str) -> nn.Module:
    """Returns the modules of a model without values; see `build`, also for what it raises."""
    architecture = _architecture(name)
    if weights not in (RANDOM, DEFAULT) and not is_file(weights):
        _tagged(architecture, weights)
    with torch.device("meta"):
        module: nn.Module = _made(name, None)
    return module


def _architecture(name: str) -> str:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture) or (tag and name not in timm.list_pretrained()):
        near = did_you_mean(name, names()) or " `maia systems list timm PATTERN` lists them."
        raise UsageError(f"timm has no model '{name}'.{near}" if name else WHICH)
    return architecture


def _tagged(architecture: str, tag: str) -> str:
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if tag not in tags:
        hint = did_you_mean(tag, tags) or f" It has {', '.join(tags) or 'none'}."
        raise UsageError(f"{architecture} has no weights '{tag}'.{hint} A file or 'random' will do, too.")
    return f"{architecture}.{tag}"


def _fetched(name: str, size: int | tuple[int, int] | None) -> Any:
    """Builds a model with timm's weights: from the cache, or fetched now."""
    published = timm.models.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise UsageError(f"timm has no weights for {name}: give a file, -o weights=FILE, or -o weights=random")
    with fetching(f"of timm/{name}", published.hf_hub_id), _quiet():
        return _made(name, size, pretrained=True)


def _random(name: str, size: int | tuple[int, int] | None, outputs: int | None) -> Any:
    with same_random_numbers():
        return _made(name, size, **({} if outputs is None else {"num_classes": outputs}))


def _made(name: str, size: int | tuple[int, int] | None, **options: Any) -> Any:
    """Calls timm; the input's size is an argument of those networks only that have one size."""
    published = timm.models.get_pretrained_cfg(name)
    if size is not None and (published is None or published.fixed_input_size):
        try:
            return timm.create_model(name, img_size=size, **options)
        except TypeError as error:
            if "img_size" not in str(error):
                raise
    try:
        return timm.create_model(name, **options)
    except (TypeError, ValueError, AssertionError) as error:
        raise UsageError(f"timm cannot build {name}: {one_line(error)}") from error


def _from_file(
    name: str, path: str, size: int | tuple[int, int] | None, classes: Sequence[str] | None
) -> tuple[Any, str]:
    """Builds a model with as many outputs as the file's weights have.

    Weights under the names of the model are taken as they are; others as timm takes a published file, whose names it
    translates.

    Returns:
        The model, and what the user must know of the file.
    """
    with torch.device("meta"):  # names and shapes alone
        model = _made(name, size)
    expected = model.state_dict()
    found = read_weights(path, expected).tensors
    published = timm.models.get_pretrained_cfg(name)
    last = found.get(f"{published.classifier}.bias") if published and isinstance(published.classifier, str) else None
    outputs = None if last is None else len(last)
    if None not in (classes, outputs) and outputs != len(classes or ()):
        raise UsageError(f"{path} has {outputs} outputs, but {len(classes or ())} names of classes were given")
    if found.keys() & expected.keys():
        module = _random(name, size, outputs)
        return module, load_weights(module, path)
    try:
        with _quiet():
            return _made(name, size, pretrained=True, pretrained_cfg_overlay={"file": path}), ""
    except Exception as error:
        raise UsageError(f"the weights of {path} are not those of {name}: {one_line(error)[:300]}") from error


def _imagenet(module: Any) -> Sequence[str]:
    """Returns the classes' names where the weights' own description tells that they are ImageNet's."""
    subset = infer_imagenet_subset(module) if module.num_classes else None
    if subset is None:
        return ()
    info: Any = ImageNetInfo(subset)
    if info.num_classes() != module.num_classes:
        return ()
    return [info.index_to_description(number).partition(",")[0] for number in range(module.num_classes)]


def _input(module: Any, size: int | tuple[int, int] | None) -> Preprocessing:
    """Returns the evaluation of the weights; with another size, in the same proportions."""
    shown: dict[str, Any] = resolve_model_data_config(module)  # type: ignore[no-untyped-call]  # timm ships no types.
    height, width = (size, size) if isinstance(size, int) else size or shown["input_size"][1:]
    part, mean = shown["crop_pct"], tuple(shown["mean"])
    return Preprocessing(
        (height, width),
        (floor(height / part), floor(width / part)),
        mean=mean,
        std=tuple(shown["std"]),
        interpolation=shown["interpolation"],
        fit=FITS.get(shown["crop_mode"], "crop"),
        fill=tuple(round(255 * value) for value in mean),
    )


def _layouts(module: Any, name: str) -> dict[str, Layout]:
    """Hiera keeps its tokens in the order in which they will be pooled, until the last stage."""
    if not name.startswith("hiera_"):
        return {}
    shuffled = Layout("NLC", placed=False)
    blocks = range(module.stage_ends[-2] + 2)
    return {"unroll": shuffled} | {f"blocks.{block}{below}": shuffled for block in blocks for below in ("", ".*")}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what timm logs while it loads: what matters of it is in the error."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
