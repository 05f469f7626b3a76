"""Silence for diffusers and transformers: MAIA raises or reports what a reader must know."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

LIBRARIES = ("diffusers", "transformers")

_lock = threading.Lock()
_active = 0
_silenced: set[str] = set()
_restore = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Silences progress bars, log lines and warnings of the imported libraries while any thread is inside."""
    global _active
    with _lock:
        _active += 1
        if _active == 1:
            _restore.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        for name in LIBRARIES:
            if name in sys.modules and name not in _silenced:
                _silence(name)
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            if not _active:
                _silenced.clear()
                _restore.close()


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collects the warnings that the libraries log meanwhile."""
    handler = _ListHandler()
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING)
    try:
        yield handler.lines
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


class _ListHandler(logging.Handler):
    """Appends each line to a list."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _silence(name: str) -> None:
    _silenced.add(name)
    for handler in logging.getLogger(name).handlers:
        _restore.callback(handler.setLevel, handler.level)
        handler.setLevel(logging.CRITICAL + 1)
    library = sys.modules.get(f"{name}.utils.logging")
    if library is not None and library.is_progress_bar_enabled():
        _restore.callback(library.enable_progress_bar)
        library.disable_progress_bar()
