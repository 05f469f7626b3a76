"""The loaded models of this process: one copy of the same weights, whoever uses them."""

from __future__ import annotations

import atexit
import threading
import weakref
from typing import Any

from maia_core.plugin import RunContext
from maia_llama_cpp.engine import Engine, Files
from maia_llama_cpp.trial import try_out

_LOCK = threading.RLock()
_ENGINES: dict[tuple[Any, ...], Engine] = {}
_USERS: dict[Engine, int] = {}


def acquire(user: object, files: Files, context: RunContext) -> tuple[Engine, weakref.finalize[[Engine], object]]:
    """Returns the engine of some files, loaded if it is not yet, and what is to be called when it is needed no more.

    An engine that nobody uses is kept until another model is loaded or `free` is called: the next run of a sweep takes
    it over. `user` gives the engine back when it is collected, too.

    Raises:
        PluginError: llama-cpp-python is missing or broken, or crashes.
        UsageError: a file cannot be loaded.
    """
    key = (files, *(path.stat().st_mtime_ns for path in (files.model, files.projector) if path))
    with _LOCK:
        if key not in _ENGINES:
            free()
            try_out(files, context.cache / "llama-cpp")
            _ENGINES[key] = Engine(files)
        engine = _ENGINES[key]
        _USERS[engine] = _USERS.get(engine, 0) + 1
        return engine, weakref.finalize(user, _give_back, engine)


def _give_back(engine: Engine) -> None:
    with _LOCK:
        _USERS[engine] -= 1


def free() -> None:
    """Frees the weights that nobody uses."""
    with _LOCK:
        for key, engine in list(_ENGINES.items()):
            if not _USERS[engine]:
                del _ENGINES[key], _USERS[engine]
                engine.close()


@atexit.register
def _free_all() -> None:
    """Frees native memory while the libraries are still there."""
    for engine in _ENGINES.values():
        engine.close()
