"""One copy of a model's weights for all detectors of a process that use them."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers.utils import logging

from maia_core.plugin import MaiaError, RunError, UsageError, one_line
from maia_detectors.memory import no_memory


class Key(NamedTuple):
    """What must be equal for two detectors to share weights."""

    folder: Path
    device: torch.device
    dtype: torch.dtype


class Weights:
    """A loaded model and its processor. They are freed with the last detector that holds them.

    Attributes:
        model: The network, in evaluation mode.
        processor: Makes tensors of images and texts.
        type: The model's type, such as `grounding-dino`.
        device: Where input goes.
        dtype: Type of the weights.
        lock: Held by who uses the model.
    """

    def __init__(self, key: Key, family: Any) -> None:
        # Nothing here reaches the network, reads a pickle or runs code of the model's folder.
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        self.processor = transformers.AutoProcessor.from_pretrained(key.folder, **local)  # type: ignore[no-untyped-call]
        model, found = family.from_pretrained(
            key.folder, dtype=key.dtype, use_safetensors=True, output_loading_info=True, **local
        )
        if lacking := sorted(found["missing_keys"]):
            raise UsageError(f"its files lack {len(lacking)} weights, such as {lacking[0]}")
        self.model = model.to(key.device).eval().requires_grad_(False)
        self.type: str = model.config.model_type
        self.device = key.device
        self.dtype = key.dtype
        self.lock = threading.Lock()


SILENT = 50
"""The level of Python's logging that only fatal messages reach."""

_loaded: weakref.WeakValueDictionary[Key, Weights] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def load(name: str, key: Key, family: Any) -> Weights:
    """Returns weights, loaded if no detector has them yet.

    Args:
        name: What the user calls the model.
        key: Which, and where to.
        family: The class of transformers that loads models of this kind.

    Raises:
        UsageError: the folder's files cannot be loaded.
        RunError: memory does not suffice.
    """
    with _lock:
        found = _loaded.get(key)
        if found is None:
            with quiet():
                found = _loaded[key] = _new(name, key, family)
        return found


def _new(name: str, key: Key, family: Any) -> Weights:
    try:
        return Weights(key, family)
    except MaiaError as error:
        raise UsageError(f"{name} cannot be used: {one_line(error)}") from error
    except Exception as error:  # The library has no root of its own errors; a broken file raises almost anything.
        if no_memory(error):
            raise RunError(
                f"the weights of {name} do not fit into the memory of {key.device}: set dtype=bfloat16 or device=cpu"
            ) from error
        raise UsageError(f"{name} cannot be loaded: {one_line(error)[:300]}") from error


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
