"""Tries new files in a child process first: what crashes llama.cpp there ends in a message, and not this process.

It also finds a llama.cpp that was built for another processor, which crashes at the first token.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from maia_core.plugin import CallLimits, MaiaError, PluginError, UsageError, content_id, one_line
from maia_llama_cpp.engine import Engine, Files
from maia_llama_cpp.files import fingerprint
from maia_llama_cpp.memory import Conversation
from maia_llama_cpp.native import install_command, llama
from maia_llama_cpp.projector import sample_picture

SECONDS = 1800
"""Longest trial: large files are read from a slow disk."""


def try_out(files: Files, cache: Path) -> None:
    """Loads the files in a child process and has one token written, with an image where there is a projector.

    Once for each pair of files, window, llama-cpp-python and machine: success is noted in the cache.

    Raises:
        PluginError: llama-cpp-python is missing or broken, or crashes.
        UsageError: a file cannot be loaded.
    """
    llama()
    note = cache / f"tried-{_name(files)}"
    if note.exists():
        return
    given = dataclasses.asdict(files)
    command = [sys.executable, "-m", __name__, json.dumps(given, default=str)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{files.options}.model: {files.model} was not loaded within {SECONDS} s") from error
    if done.returncode == 1:
        said = done.stdout.splitlines() or [f"llama.cpp could not be tried: {' '.join(done.stderr.split())[-300:]}"]
        raise UsageError(said[-1])
    if done.returncode != 0:
        raise PluginError(_crash(files, -done.returncode))
    with suppress(OSError):  # Then the next start tries again.
        cache.mkdir(parents=True, exist_ok=True)
        note.touch()


def _name(files: Files) -> str:
    """Returns what names a trial: it is done again when anything of this changes."""
    prints = [fingerprint(path) for path in (files.model, files.projector) if path]
    place = [platform.node(), metadata.version("llama-cpp-python"), str(files.gpu_layers), str(files.context)]
    return content_id(*(text.encode() for text in (*prints, *place)))


def _crash(files: Files, number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"exit code {-number}"
    which = f"{files.options}.model: {files.model}"
    if name == "SIGKILL":
        return f"{which} needs more memory than there is; take a smaller file, or set context_tokens lower"
    which += f" and {files.projector}" if files.projector else ""
    return (
        f"llama.cpp crashes ({name}) with {which}. If it does with every file, it was built for another processor: "
        f"{install_command()} --force-reinstall --no-cache-dir. Else fetch the files again"
    )


def main(given: str) -> int:
    """What the child process does; prints why it failed."""
    fields: dict[str, Any] = json.loads(given)
    paths = {name: Path(fields[name]) for name in ("model", "projector") if fields[name]}
    files = Files(**(fields | paths))
    try:
        engine = Engine(files)
        pictures = [sample_picture()] if files.projector else []
        limits = CallLimits(max_output_tokens=1, seconds=SECONDS)
        engine.answer(Conversation(), f"{engine.marker}\nThis is", pictures, limits, temperature=0)
    except MaiaError as error:
        print(one_line(error))
        return 1
    engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
