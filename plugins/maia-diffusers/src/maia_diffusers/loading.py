"""Loads a pipeline from a checked folder: safetensors only, no code of the model's, nothing from the network."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any

import diffusers
import torch

from maia_core.plugin import MaiaError, PluginError, RunError, UsageError, did_you_mean, one_line
from maia_diffusers.device import collect, free_bytes, no_memory
from maia_diffusers.folder import SAFE, Index, files, read_index, wanted
from maia_diffusers.key import Key
from maia_diffusers.pool import Pool
from maia_diffusers.quiet import quiet, told
from maia_diffusers.roles import Role, mismatch, roles

LACKING = "newly initialized"
"""What the libraries write where weights are missing; they go on with random ones."""

ROOM = 1.2
"""Memory that loading takes, as a multiple of the files' size."""


def _dropped(keys: Sequence[Hashable]) -> None:
    for device in {key.device for key in keys if isinstance(key, Key)}:
        collect(torch.device(device))


pool: Pool[Any] = Pool(_dropped)
"""The pipelines of this process."""

_one_at_a_time = threading.Lock()
"""Loading takes twice the memory for a moment, and its warnings must be told apart."""


def load(key: Key, name: str, role: Role) -> Any:
    """Loads a pipeline onto its device; others that nobody uses leave if there is not enough memory.

    Args:
        key: What to load, and how.
        name: What the user calls the model.
        role: What it must be able to do.

    Raises:
        UsageError: it cannot be loaded, or is for something else.
        PluginError: a package that it needs is not installed.
        RunError: memory does not suffice.
    """
    index = read_index(key.folder, name)
    kind = _class(index, name)
    if told := mismatch(name, index.pipeline, roles(kind), role):
        raise UsageError(told)
    device = torch.device(key.device)
    _make_room(key, name, device)
    for last in (False, True):
        try:
            with _one_at_a_time, quiet():
                return _loaded(kind, index, key, device)
        except MaiaError as error:
            raise UsageError(f"{name} cannot be used: {one_line(error)}") from error
        except ImportError as error:
            raise PluginError(f"{name} needs a package that is not installed: {one_line(error)[:300]}") from error
        except Exception as error:  # The libraries have no root of their own errors; a broken file raises anything.
            if not no_memory(error):
                raise UsageError(f"{name} cannot be loaded: {one_line(error)[:300]}") from error
            if last:
                raise RunError(
                    f"{name} does not fit into the memory of {device}: set {role}.dtype=float16, {role}.offload=model "
                    f"(or sequential), or {role}.device=cpu"
                ) from error
        # Here, where the error and what it refers to are gone.
        pool.drop_idle()
        collect(device)
    raise AssertionError


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
    if left is not None and size * ROOM > left:
        pool.drop_idle()


def _loaded(kind: Any, index: Index, key: Key, device: torch.device) -> Any:
    components = {part.name for part in wanted(index, safety=key.safety)}
    unwanted = {part.name: None for part in index.components if part.name not in components}
    if unwanted:
        unwanted["requires_safety_checker"] = False  # type: ignore[assignment]
    with told() as lines:
        pipe = kind.from_pretrained(
            key.folder,
            dtype=getattr(torch, key.dtype),
            variant=key.variant or None,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **unwanted,
        )
    if lacking := next((line for line in lines if LACKING in line), None):
        raise UsageError(f"its files lack weights: {' '.join(lacking.split())[:200]}")
    pipe.set_progress_bar_config(disable=True)
    if key.scheduler:
        pipe.scheduler = _scheduler(pipe.scheduler, key.scheduler)
    _spare(pipe, key)
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


def _spare(pipe: Any, key: Key) -> None:
    for option in ("slicing", "tiling"):
        if not getattr(key, option):
            continue
        enable = getattr(getattr(pipe, "vae", None), f"enable_{option}", None)
        if enable is None:
            raise UsageError(f"its decoder cannot do {option}; leave it out")
        enable()
