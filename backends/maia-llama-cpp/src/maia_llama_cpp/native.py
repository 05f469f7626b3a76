"""llama-cpp-python: imported when it is used, quiet, and with the command that installs it where it is missing."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from maia_core.plugin import PluginError, one_line

FLAGS = "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON"
"""Build flags for x86 processors: what the defaults choose on one with AMX crashes at the first token."""

OLDEST = "0.3.36"

WARN, ERROR = 3, 4
"""Levels of llama.cpp's log."""

LOG: deque[tuple[int, str]] = deque(maxlen=100)
"""What llama.cpp said last at warning level and above, as (level, line); it would go to stderr otherwise."""

_CALLBACKS: list[Any] = []
"""Native code holds no reference to what it calls back."""


def install_command() -> str:
    """Returns the command that installs a llama-cpp-python that works on this machine."""
    command = f'pip install "llama-cpp-python>={OLDEST}"'
    return f'CMAKE_ARGS="{FLAGS}" {command}' if platform.machine().lower() in ("x86_64", "amd64") else command


def is_installed() -> bool:
    """Says whether llama-cpp-python is installed, without importing it."""
    return importlib.util.find_spec("llama_cpp") is not None


@functools.cache
def llama() -> Any:
    """Imports llama_cpp and takes over its log.

    Raises:
        PluginError: it is missing, too old or broken; the message is one line with the command that installs it.
    """
    llama_cpp, mtmd = _imported()
    from packaging.version import Version

    if Version(llama_cpp.__version__) < Version(OLDEST):
        raise PluginError(
            f"llama-cpp-python {llama_cpp.__version__} is too old; install a newer one (compiles for minutes): "
            f"{install_command()}"
        )

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # llama_cpp ships no types.
    def keep(level: int, text: bytes, _: object) -> None:
        if level in (WARN, ERROR):
            LOG.append((level, " ".join(text.decode("utf-8", "replace").split())))

    _CALLBACKS.append(keep)
    for set_log in (llama_cpp.llama_log_set, mtmd.mtmd_log_set, mtmd.mtmd_helper_log_set):
        set_log(keep, None)
    return llama_cpp


@functools.cache
def mtmd() -> Any:
    """Imports llama.cpp's multimodal part; see `llama`."""
    llama()
    return _imported()[1]


def _imported() -> tuple[ModuleType, ModuleType]:
    try:
        with _patient_threads():
            import llama_cpp
            from llama_cpp import mtmd_cpp
    except ModuleNotFoundError as error:
        if error.name != "llama_cpp":
            raise PluginError(
                f"llama-cpp-python lacks the package {error.name}; install it again: {install_command()}"
            ) from error
        raise PluginError(
            f"llama-cpp-python is not installed; install it (compiles for minutes): {install_command()}"
        ) from error
    except (ImportError, OSError, RuntimeError) as error:  # Its library is of another platform, or incomplete.
        raise PluginError(
            f"llama-cpp-python is broken ({one_line(error)}); install it again: {install_command()} --force-reinstall "
            "--no-cache-dir"
        ) from error
    return llama_cpp, mtmd_cpp


@contextmanager
def _patient_threads() -> Iterator[None]:
    """Lets OpenMP, which reads this when it is loaded, wait for other threads asleep instead of in a loop.

    On a processor that does something else besides, generation is ten times as fast; see README.md.
    """
    name = "OMP_WAIT_POLICY"
    given = name in os.environ
    os.environ.setdefault(name, "passive")
    try:
        yield
    finally:
        if not given:
            del os.environ[name]


def complaint(default: str) -> str:
    """Returns why llama.cpp says that it failed: its first error since `LOG` was cleared, else `default`."""
    errors = [text for level, text in LOG if level == ERROR and text]
    return errors[0] if errors else default
