"""The options that backbone and describer share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field

from maia_core.plugin import PluginConfig, UsageError
from maia_llama_cpp.engine import Files
from maia_llama_cpp.files import ModelFile, check_model, check_projector
from maia_llama_cpp.small import MODELS, model_path

DEFAULT_CONTEXT = 8192
"""Tokens of the window, where the model was trained with as many: more takes more memory."""


class ModelOptions(PluginConfig):
    """Options of a local model."""

    model: str = ""
    """Path of the language model's GGUF file, or `qwen2.5-coder-1.5b` or `-0.5b` after `make llm`."""
    projector: str = ""
    """Path of its projector's GGUF file (its name mostly begins with mmproj); without one it sees no images."""
    chat_format: str = "auto"
    """Chat template: that of the file (auto), or a name such as chatml, vicuna, llama-3 or minicpm-v-2.6."""
    context_tokens: int | None = Field(None, ge=256)
    """Tokens of the window; by default what the model was trained with, 8192 at most."""
    gpu_layers: int = Field(-1, ge=-1)
    """Layers on a graphics processor, where llama-cpp-python was built for one; -1: all."""
    threads: int | None = Field(None, ge=1)
    """Threads that compute; by default half of the processors, and two at least where there are two."""


def checked(config: ModelOptions, options: str) -> tuple[ModelFile, Files]:
    """Checks the files that the options name.

    Args:
        config: The options.
        options: Where they are set, for messages: `backbone` or `describer`.

    Raises:
        UsageError: one is missing, is something else or is damaged; or the window is larger than the model's.
    """
    if not config.model:
        raise UsageError(f"{options} 'llama-cpp' needs a model: -o {options}.model=FILE.gguf, or {next(iter(MODELS))}")
    path = model_path(config.model)
    model = check_model(path, f"{options}.model")
    projector = None
    if config.projector:
        projector = Path(config.projector).expanduser().resolve()
        check_projector(projector, f"{options}.projector")
    if (config.context_tokens or 0) > model.trained_context:
        raise UsageError(
            f"{options}.context_tokens: {path.name} was trained with a window of {model.trained_context} tokens, not "
            f"{config.context_tokens}"
        )
    context = config.context_tokens or min(model.trained_context, DEFAULT_CONTEXT)
    threads = config.threads or default_threads()
    return model, Files(path, projector, context, config.gpu_layers, threads, options)


def default_threads() -> int:
    """Returns half of the processors that may be used (the other half are mostly their twins), at least two of two."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(min(2, count), count // 2)
