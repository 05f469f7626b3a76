"""The loaded models of this process: one copy of the same weights for all their users."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Hashable

from maia_core.plugin import RunContext
from maia_hub.shared import SharedModels
from maia_llama_cpp.engine import Engine, Files
from maia_llama_cpp.trial import try_out

engines: SharedModels[Engine] = SharedModels(Engine.close)

# The end of the process: native memory must be freed while the libraries are still loaded.
atexit.register(engines.free_all)


def acquire(user: object, files: Files, context: RunContext) -> tuple[Engine, weakref.finalize[[Hashable], object]]:
    """Returns the engine of some files, loaded if nobody uses it yet, and a function that ends this use.

    Raises:
        PluginError: llama-cpp-python is missing or broken, or crashes.
        UsageError: a file cannot be loaded.
    """

    def load() -> Engine:
        try_out(files, context.cache / "llama-cpp")
        return Engine(files)

    times = tuple(path.stat().st_mtime_ns for path in (files.model, files.projector) if path)
    return engines.acquire(user, (files, times), load)
