"""One copy of a model's weights for all detectors of a process that use them."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from maia_hub.errors import loading_errors, require_all_weights
from maia_hub.quiet import quiet


class Key(NamedTuple):
    """Folder, device and dtype: detectors with equal ones share weights."""

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
        lock: Its holder may use the model.
    """

    def __init__(self, key: Key, family: Any) -> None:
        # Nothing here reaches the network, reads a pickle or runs code of the model's folder.
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        processors: Any = transformers.AutoProcessor
        self.processor = processors.from_pretrained(key.folder, **local)
        model, found = family.from_pretrained(
            key.folder, dtype=key.dtype, use_safetensors=True, output_loading_info=True, **local
        )
        require_all_weights(found["missing_keys"])
        self.model = model.to(key.device).eval().requires_grad_(False)
        self.type: str = model.config.model_type
        self.device = key.device
        self.dtype = key.dtype
        self.lock = threading.Lock()


_loaded: weakref.WeakValueDictionary[Key, Weights] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def load(name: str, key: Key, family: Any) -> Weights:
    """Returns weights, which are loaded if no detector has them yet.

    Args:
        name: The model, as the user wrote it.
        key: The folder, the device and the dtype.
        family: The class of transformers that loads models of this kind.

    Raises:
        UsageError: the files of the folder cannot be loaded.
        PluginError: a package is missing.
        OutOfMemory: the weights do not fit into memory.
    """
    with _lock:
        found = _loaded.get(key)
        if found is None:
            with quiet(), loading_errors(name, key.device, "set dtype=bfloat16 or device=cpu"):
                found = _loaded[key] = Weights(key, family)
        return found
