"""Loads a pipeline from a checked folder: safetensors only, no code of the model's, nothing from the network."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any

import diffusers
import torch

from maia_core.plugin import UsageError, did_you_mean
from maia_diffusers.folder import Index, files, read_index, used_parts
from maia_diffusers.key import Key
from maia_diffusers.pool import Pool
from maia_diffusers.roles import Role, mismatch, roles
from maia_hub.device import free_bytes, free_memory
from maia_hub.errors import OutOfMemory, loading_errors
from maia_hub.quiet import collected_warnings, quiet
from maia_hub.weights import SAFE

MISSING_WEIGHTS = "newly initialized"
"""Words of the libraries' warning about missing weights, which they fill with random numbers."""

LOADING_MEMORY = 1.2
"""Memory that loading takes, as a multiple of the size of the files."""


def _dropped(keys: Sequence[Hashable]) -> None:
    for device in {key.device for key in keys if isinstance(key, Key)}:
        free_memory(torch.device(device))


pool: Pool[Any] = Pool(_dropped)
"""The pipelines of this process."""

_one_at_a_time = threading.Lock()
"""One loads at a time: loading briefly takes twice the memory, and MAIA collects the warnings of each model alone."""


def load(key: Key, name: str, role: Role) -> Any:
    """Loads a pipeline onto its device; idle pipelines leave memory if it does not suffice.

    Args:
        key: The pipeline and its settings.
        name: The model, as the user wrote it.
        role: The role that the pipeline must have.

    Raises:
        UsageError: it cannot be loaded, or is for something else.
        PluginError: a package that it needs is not installed.
        RunError: memory does not suffice.
    """
    index = read_index(key.folder, name)
    kind = _class(index, name)
    if problem := mismatch(name, index.pipeline, roles(kind), role):
        raise UsageError(problem)
    device = torch.device(key.device)
    _make_room(key, name, device)
    advice = f"set {role}.dtype=float16, {role}.offload=model (or sequential), or {role}.device=cpu"

    def attempt() -> Any:
        with _one_at_a_time, quiet(), loading_errors(name, device, advice):
            return _loaded(kind, index, key, device)

    try:
        return attempt()
    except OutOfMemory:
        pass  # The next attempt runs outside of this handler, where the error and its tensors are gone.
    pool.drop_idle()
    free_memory(device)
    return attempt()


def _class(index: Index, name: str) -> type:
    kind = getattr(diffusers, index.pipeline, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.DiffusionPipeline)):
        raise UsageError(
            f"{name} is a {index.pipeline}, which diffusers {diffusers.__version__} does not know: upgrade it"
        )
    for part in index.components:
        # An index may name any module; it would be imported.
        if part.library not in ("diffusers", "transformers") and not hasattr(diffusers.pipelines, part.library):
            raise UsageError(
                f"{name}: its {part.name} is of '{part.library}', which is never imported; choose another model"
            )
    return kind


def _make_room(key: Key, name: str, device: torch.device) -> None:
    """Drops what is idle where this pipeline would not fit beside it: a processor's memory ends without an error."""
    used = files(key.folder, name, key.variant, safety=key.safety)
    size = sum(file.stat().st_size for file in used if file.suffix == SAFE)
    left = free_bytes(device)
    if left is not None and size * LOADING_MEMORY > left:
        pool.drop_idle()


def _loaded(kind: Any, index: Index, key: Key, device: torch.device) -> Any:
    components = {part.name for part in used_parts(index, safety=key.safety)}
    unused: dict[str, Any] = {part.name: None for part in index.components if part.name not in components}
    if unused:
        unused["requires_safety_checker"] = False
    with collected_warnings() as lines:
        pipe = kind.from_pretrained(
            key.folder,
            dtype=getattr(torch, key.dtype),
            variant=key.variant or None,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **unused,
        )
    if warning := next((line for line in lines if MISSING_WEIGHTS in line), None):
        raise UsageError(f"its files lack weights: {' '.join(warning.split())[:200]}")
    pipe.set_progress_bar_config(disable=True)
    if key.scheduler:
        pipe.scheduler = _scheduler(pipe.scheduler, key.scheduler)
    _save_memory(pipe, key)
    if key.offload == "none":
        pipe.to(device)
    elif device.type == "cpu":
        raise UsageError("offload needs an accelerator, and the device is cpu; leave it out")
    elif key.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.enable_sequential_cpu_offload(device=device)
    return pipe


def _scheduler(own: Any, name: str) -> Any:
    """Returns another scheduler that fits, with the settings of the model's own one."""
    fitting = {kind.__name__: kind for kind in own.compatibles}
    kind = fitting.get(name) or fitting.get(f"{name}Scheduler")
    if kind is None:
        hint = did_you_mean(name, fitting) or f" There are {', '.join(sorted(fitting)) or 'none'}."
        raise UsageError(f"scheduler '{name}' does not fit this model.{hint}")
    return kind.from_config(own.config)


def _save_memory(pipe: Any, key: Key) -> None:
    for option in ("slicing", "tiling"):
        if not getattr(key, option):
            continue
        enable = getattr(getattr(pipe, "vae", None), f"enable_{option}", None)
        if enable is None:
            raise UsageError(f"its decoder cannot do {option}; leave it out")
        enable()
