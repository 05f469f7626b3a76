"""Loads a model once per process, for all threads and runs that use it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from maia_core.plugin import PluginError, UsageError
from maia_hub.device import choose_device, choose_dtype, free_memory
from maia_hub.errors import loading_errors, require_all_weights
from maia_hub.fingerprints import sampled_fingerprint
from maia_hub.quiet import quiet
from maia_hub.shared import SharedModels
from maia_hub.weights import MODEL_FILES, locate
from maia_transformers.options import ModelOptions
from maia_transformers.template import ChatTemplate

SAMPLING = ("temperature", "top_k", "top_p", "min_p")
"""The settings of drawing tokens at random that are taken from a model."""

PROCESSOR = ("processor_config.json", "preprocessor_config.json")
"""The files that say how pictures become tensors."""


class Key(NamedTuple):
    """Folder, device, dtype and offloading: users with equal ones share weights."""

    folder: Path
    device: str
    dtype: torch.dtype
    offload: bool


@dataclass(eq=False)
class Weights:
    """A loaded model with its processor and its chat template.

    Attributes:
        model: The network, which writes text.
        processor: Makes tensors of prompts and pictures; the tokenizer of a model that sees none.
        tokenizer: Makes tokens of text and text of tokens; pads on the left.
        template: Makes prompts of conversations.
        images: Whether it sees images.
        ends: The tokens that end a reply.
        samples: Whether the model's own settings draw tokens at random.
        sampling: How they do, or would.
        device: Where input goes.
        fingerprint: Of its files, and the type of its numbers.
        lock: Its holder may use any of these.
    """

    model: Any
    processor: Any
    tokenizer: Any
    template: ChatTemplate
    images: bool
    ends: frozenset[int]
    samples: bool
    sampling: dict[str, Any]
    device: torch.device
    fingerprint: str
    lock: threading.RLock = field(default_factory=threading.RLock)


models: SharedModels[Weights] = SharedModels(lambda weights: free_memory(weights.device))
"""The models of this process."""


def acquire(
    user: object, options: ModelOptions, warn: Callable[[str], None]
) -> tuple[Weights, weakref.finalize[[Hashable], object]]:
    """Returns the weights that the options name, loaded if nobody uses them yet, and a function that ends this use.

    Args:
        user: The object that uses the weights; its collection ends the use too.
        options: The model, and the way to load it.
        warn: Takes a line that names a download.

    Raises:
        UsageError: there is no such model, device or type, or the model cannot be loaded.
        PluginError: a package is missing.
        RunError: the Hub cannot be reached, or memory does not suffice.
    """
    folder = locate(options.model, options.revision, warn)
    device = choose_device(options.device)
    key = Key(folder.resolve(), str(device), choose_dtype(options.dtype, device, "language"), options.offload)
    return models.acquire(user, key, lambda: _load(options.model, key, device))


def _load(name: str, key: Key, device: torch.device) -> Weights:
    if key.offload and find_spec("accelerate") is None:
        raise PluginError("offload=true needs accelerate: pip install 'maia-transformers[offload]'")
    with quiet(), loading_errors(name, device, "set dtype=bfloat16, offload=true or device=cpu"):
        return _loaded(key, device)


def _loaded(key: Key, device: torch.device) -> Weights:
    # Nothing here reaches the network or runs code of the model's folder.
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(key.folder, **local)
    images = type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if (not images and type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING) or config.is_encoder_decoder:
        raise UsageError(f"it is a model of type '{config.model_type}', which cannot hold a conversation")
    processor, tokenizer = _processor(key.folder, images, local)
    template = ChatTemplate(processor, tokenizer, images=images)
    family: Any = transformers.AutoModelForImageTextToText if images else transformers.AutoModelForCausalLM
    model, found = family.from_pretrained(
        key.folder,
        config=config,
        dtype=key.dtype,
        use_safetensors=True,
        output_loading_info=True,
        device_map="auto" if key.offload else None,
        **local,
    )
    require_all_weights(found["missing_keys"])
    if not key.offload:
        model.to(device)
    own = model.generation_config
    ends = _ends(own.eos_token_id, tokenizer.eos_token_id)
    # A call overrides these; the other settings of the model are dropped, so that only the options decide.
    settings: Any = transformers.GenerationConfig
    model.generation_config = settings(
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.pad_token_id,
        repetition_penalty=own.repetition_penalty,
    )
    return Weights(
        model=model.eval().requires_grad_(False),
        processor=processor,
        tokenizer=tokenizer,
        template=template,
        images=images,
        ends=ends,
        samples=bool(own.do_sample),
        sampling={name: getattr(own, name) for name in SAMPLING if getattr(own, name, None) is not None},
        device=model.device if key.offload else device,
        fingerprint=f"{sampled_fingerprint(key.folder, MODEL_FILES)}-{key.dtype}",
    )


def _processor(folder: Path, images: bool, local: dict[str, Any]) -> tuple[Any, Any]:
    if images and not any((folder / name).is_file() for name in PROCESSOR):
        raise UsageError(f"its folder lacks the file of its processor, {' or '.join(PROCESSOR)}")
    family = transformers.AutoProcessor if images else transformers.AutoTokenizer
    processor = family.from_pretrained(folder, **local)
    tokenizer = processor.tokenizer if images else processor
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor, tokenizer


def _ends(*tokens: int | list[int] | None) -> frozenset[int]:
    """Returns all tokens that end a reply, wherever a model's files name them."""
    listed = [token if isinstance(token, list) else [token] for token in tokens]
    return frozenset(token for some in listed for token in some if token is not None)
