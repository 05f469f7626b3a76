"""One copy of a model's weights for all who use it, in however many threads and runs of a process."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers.utils import logging

from maia_core.plugin import MaiaError, PluginError, RunError, UsageError, one_line
from maia_transformers.device import choose_device, choose_dtype, free, no_memory
from maia_transformers.folder import fingerprint
from maia_transformers.hub import locate
from maia_transformers.options import ModelOptions
from maia_transformers.template import ChatTemplate

SAMPLING = ("temperature", "top_k", "top_p", "min_p")
"""The settings of drawing tokens at random that are taken from a model."""

PROCESSOR = ("processor_config.json", "preprocessor_config.json")
"""The files that say how pictures become tensors."""

SILENT = 50
"""The level of Python's logging that only fatal messages reach."""


class Key(NamedTuple):
    """What must be equal for two users to share weights."""

    folder: Path
    device: str
    dtype: torch.dtype
    offload: bool


@dataclass(eq=False)
class Weights:
    """A model that is loaded, and what prepares its input.

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
        lock: Held by who uses any of these.
        users: How many have it.
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
    users: int = 0


_lock = threading.RLock()
_open: dict[Key, Weights] = {}


def acquire(options: ModelOptions, warn: Callable[[str], None]) -> Weights:
    """Returns the weights that the options name, loaded if nobody has them yet; each call is one more user.

    Weights that nobody uses stay for the next run of the same model, until another one is loaded.

    Args:
        options: What to load, and how.
        warn: Takes a line that a person must know: what is fetched.

    Raises:
        UsageError: there is no such model, device or type, or the model cannot be loaded.
        RunError: the hub cannot be reached, or memory does not suffice.
    """
    with _lock:
        folder = locate(options.model, options.revision, warn)
        device = choose_device(options.device)
        key = Key(folder.resolve(), str(device), choose_dtype(options.dtype, device), options.offload)
        if key not in _open:
            forget_idle()
            _open[key] = _load(options.model, key, device)
        _open[key].users += 1
        return _open[key]


def leave(weights: Weights) -> None:
    """Ends one use; the weights stay."""
    with _lock:
        weights.users -= 1


def forget_idle() -> None:
    """Frees the weights that nobody uses."""
    with _lock:
        for key in [key for key, weights in _open.items() if not weights.users]:
            device = _open.pop(key).device
            gc.collect()
            free(device)


def _load(name: str, key: Key, device: torch.device) -> Weights:
    if key.offload and find_spec("accelerate") is None:
        raise PluginError("offload=true needs accelerate: pip install 'maia-transformers[offload]'")
    try:
        with quiet():
            return _loaded(key, device)
    except MaiaError as error:
        raise UsageError(f"{name} cannot be used: {one_line(error)}") from error
    except ImportError as error:
        raise PluginError(f"{name} needs a package that is not installed: {one_line(error)[:300]}") from error
    except Exception as error:  # The library has no root of its own errors; a broken file raises almost anything.
        if no_memory(error):
            raise RunError(
                f"the weights of {name} do not fit into the memory of {device}: set dtype=bfloat16, offload=true or "
                "device=cpu"
            ) from error
        cause, _, _ = one_line(error).partition(" If you were trying to load it from")  # Advice about the hub.
        raise UsageError(f"{name} cannot be loaded: {cause[:300]}") from error


def _loaded(key: Key, device: torch.device) -> Weights:
    # Nothing here reaches the network or runs code of the model's folder.
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(key.folder, **local)
    images = type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if (not images and type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING) or config.is_encoder_decoder:
        raise UsageError(f"it is a model of type '{config.model_type}', which holds no conversations")
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
    if lacking := sorted(found["missing_keys"]):
        raise UsageError(f"its files lack {len(lacking)} weights, such as {lacking[0]}")
    if not key.offload:
        model.to(device)
    own = model.generation_config
    ends = _ends(own.eos_token_id, tokenizer.eos_token_id)
    # What is not asked for is taken from here; without the rest of the model's own settings nothing surprises.
    model.generation_config = transformers.GenerationConfig(  # type: ignore[no-untyped-call]
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
        fingerprint=f"{fingerprint(key.folder)}-{key.dtype}",
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


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the library's progress bars and warnings; what must be known is raised."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(SILENT)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
