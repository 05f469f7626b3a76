"""Starts the interpreter behind the kernel's measures, and tells which are in force."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from maia_sandbox import lockdown
from maia_sandbox_monty import confine


def monty_binary() -> str:
    """Returns the path of the interpreter."""
    from pydantic_monty._binary import find_monty_binary

    return str(Path(find_monty_binary()).resolve())


def launcher(folder: Path, binary: str, memory_mb: int) -> str:
    """Writes a script that starts a program behind the kernel's measures, and returns its path.

    Args:
        folder: Where the script is written.
        binary: The program.
        memory_mb: Memory that it needs beyond its own, in MiB.
    """
    # The files that the loader of programs opens, as `ldd` asks for them.
    asked = subprocess.run(
        [binary], env={"LD_TRACE_LOADED_OBJECTS": "1"}, stdin=subprocess.DEVNULL, capture_output=True
    )
    files = ["/etc/ld.so.cache", *re.findall(r"(/\S+) \(0x", asked.stdout.decode("utf-8", "replace"))]
    folder_of_lockdown = str(Path(lockdown.__file__).parent)
    script = [sys.executable, "-I", "-S", "-B", confine.__file__, folder_of_lockdown, str(memory_mb), binary]
    path = folder / "monty"
    path.write_text(f'#!/bin/sh\nexec {shlex.join([*script, json.dumps(files)])} "$@"\n', encoding="utf-8")
    path.chmod(0o700)
    return str(path)


def in_force(pid: int | None) -> str:
    """Returns the kernel's measures around a process, as the kernel names them."""
    try:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except (OSError, ValueError):
        status = {}
    if status.get("Seccomp") != "2":
        return "none: the interpreter alone stands between a program and this machine"
    user, rights = status["Uid"].split()[0], int(status["CapEff"], 16)
    return (
        f"seccomp, Landlock where the kernel has it; user {user}, capabilities {'none' if not rights else hex(rights)}"
    )
