"""Silences the libraries: what must be known is raised or told as a warning, the rest disturbs."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import diffusers.utils.logging
import transformers.utils.logging

LIBRARIES = ("diffusers", "transformers")

_lock = threading.Lock()
_inside = 0
_restore = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Silences progress bars, log lines and warnings, for as long as any thread is in here."""
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _silence()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _restore.close()


def _silence() -> None:
    for name in LIBRARIES:
        for handler in logging.getLogger(name).handlers:
            _restore.callback(handler.setLevel, handler.level)
            handler.setLevel(logging.CRITICAL + 1)
    for library in (diffusers.utils.logging, transformers.utils.logging):
        if library.is_progress_bar_enabled():
            _restore.callback(library.enable_progress_bar)
            library.disable_progress_bar()
    _restore.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")


class _Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def told() -> Iterator[list[str]]:
    """Collects the warnings that the libraries log meanwhile."""
    handler = _Lines()
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
