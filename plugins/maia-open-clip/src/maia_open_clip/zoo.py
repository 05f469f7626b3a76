"""open_clip's models: the image encoder or the whole, their weights and what they are shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import open_clip
import torch
from torch import nn

from maia_core.plugin import UsageError, did_you_mean, one_line
from maia_exemplars.preprocess import Fit, Preprocessing
from maia_hub.libraries import fetching
from maia_torch.weights import is_file, load_weights
from maia_torch.zoo import RANDOM, RANDOM_NOTE, Built, same_random_numbers

WHICH = "open-clip stands for many models: write open-clip/NAME; `maia systems list open-clip` lists them"

DEFAULT = "default"
"""The name of open_clip's first weights."""

FITS: dict[str, Fit] = {"shortest": "crop", "squash": "squash", "longest": "letterbox"}
"""open_clip's ways to fit an image, in ours."""

SMALL_TEXT = {"width": 8, "layers": 1, "heads": 1, "vocab_size": 8, "context_length": 8}
"""A text encoder that is made because CLIP has one, and thrown away."""


class Pair(NamedTuple):
    """An image encoder with its text encoder.

    Attributes:
        module: The whole model; it has `encode_image` and `encode_text`.
        tokenizer: Turns texts into what the text encoder reads: int64 of shape (texts, tokens).
        preprocess: What the image encoder is shown.
        note: What the user must know.
    """

    module: Any
    tokenizer: Callable[[list[str]], torch.Tensor]
    preprocess: Preprocessing
    note: str


def names() -> list[str]:
    """Returns the names of all models."""
    return list(open_clip.list_models())


def build(name: str, weights: str, size: int | tuple[int, int] | None) -> Built:
    """Builds an image encoder.

    Args:
        name: One of `names()`.
        weights: `default`, a tag, a file or `random`.
        size: Input in pixels; None: as the weights were trained.

    Raises:
        UsageError: there is no such model, or no such weights, or a file is not of this model.
        RunError: the weights cannot be fetched.
    """
    tag = _tag(name, weights)
    note = ""
    if weights == RANDOM:
        module = _empty(name, tag, size)
        note = RANDOM_NOTE
    elif is_file(weights):
        module = _empty(name, tag, size)
        note = load_weights(module, weights, inside="visual.")
    else:
        module = _fetched(name, tag, size).visual
    return Built(module, _input(module, _published(name, tag)), classifier=False, note=note)


def skeleton(name: str, weights: str) -> nn.Module:
    """Returns the modules of an image encoder without values; see `build`, also for what it raises."""
    tag = _tag(name, weights)
    with torch.device("meta"):
        module: nn.Module = _empty(name, tag, None)
    return module


def build_pair(name: str, weights: str) -> Pair:
    """Builds an image encoder and its text encoder, which compare by cosine.

    Args:
        name: One of `names()`.
        weights: `default`, a tag, a file of the whole model or `random`.

    Raises:
        UsageError: there is no such model, or no such weights, or a file is not of this model.
        RunError: the weights or the tokenizer's words cannot be fetched.
    """
    tag = _tag(name, weights)
    note = ""
    if weights == RANDOM or is_file(weights):
        with fetching(f"of the text encoder of open-clip/{name}"), same_random_numbers(), _quiet():
            quick = bool(_published(name, tag).get("quick_gelu"))
            module: Any = open_clip.create_model(name, load_weights=False, force_quick_gelu=quick)
        note = "its weights are random: its scores mean nothing" if weights == RANDOM else load_weights(module, weights)
    else:
        module = _fetched(name, tag, None)
    with fetching(f"of the tokenizer of open-clip/{name}"), _quiet():
        tokenizer = open_clip.get_tokenizer(name)
    return Pair(module, tokenizer, _input(module.visual, _published(name, tag)), note)


def _tag(name: str, weights: str) -> str:
    """Returns the tag of open_clip's weights, or, for a file and random ones, the tag whose input is theirs, too."""
    if name not in open_clip.list_models():
        near = did_you_mean(name, names()) or " `maia systems list open-clip` lists them."
        raise UsageError(f"open_clip has no model '{name}'.{near}" if name else WHICH)
    tags: list[str] = open_clip.list_pretrained_tags_by_model(name)
    if weights == RANDOM or is_file(weights) or (weights == DEFAULT and tags):
        return "openai" if "openai" in tags else next(iter(tags), "")
    if weights not in tags:
        hint = did_you_mean(weights, tags) or f" It has {', '.join(tags) or 'none'}."
        raise UsageError(f"{name} has no weights '{weights}'.{hint} A file or 'random' will do, too.")
    return weights


def _published(name: str, tag: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = open_clip.get_pretrained_cfg(name, tag) if tag else {}
    return found


def _fetched(name: str, tag: str, size: int | tuple[int, int] | None) -> Any:
    """Builds a model with open_clip's weights: from the cache, or fetched now."""
    published = _published(name, tag)
    repository = str(published.get("hf_hub", "")).rstrip("/")
    with fetching(f"{tag} of open-clip/{name}", repository or None), _quiet():
        return open_clip.create_model(
            name, pretrained=tag, force_image_size=size, force_quick_gelu=bool(published.get("quick_gelu"))
        )


def _empty(name: str, tag: str, size: int | tuple[int, int] | None) -> Any:
    """Builds an encoder with random weights, the same ones every time."""
    config = open_clip.get_model_config(name)
    vision = config["vision_cfg"] | {"timm_model_pretrained": False} | ({"image_size": size} if size else {})
    if "timm_model_name" not in vision:
        del vision["timm_model_pretrained"]
    quick = bool(config.get("quick_gelu") or _published(name, tag).get("quick_gelu"))
    try:
        with same_random_numbers(), _quiet():
            return open_clip.CLIP(config["embed_dim"], vision, SMALL_TEXT, quick_gelu=quick).visual
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise UsageError(f"open_clip cannot build {name}: {one_line(error)}") from error


def _input(module: Any, published: Mapping[str, Any]) -> Preprocessing:
    """Returns what the weights were trained on, at the encoder's own size."""
    shown = vars(open_clip.transform.PreprocessCfg()) | dict(getattr(module, "preprocess_cfg", published))
    size = module.image_size
    return Preprocessing(
        tuple(size) if isinstance(size, (tuple, list)) else size,
        mean=tuple(shown["mean"]),
        std=tuple(shown["std"]),
        interpolation=shown["interpolation"],
        fit=FITS[shown["resize_mode"]],
        fill=shown["fill_color"],
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what open_clip logs, by way of the root logger, while it builds: what matters of it is in the error."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
