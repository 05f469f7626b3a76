"""A script for a bare Python process: takes the kernel's measures, then becomes the interpreter.

Arguments: the folder of `maia_sandbox`, the interpreter's memory in MiB, its path, the files that its start reads, as a
JSON list, and the interpreter's own arguments. The measures are those of `maia_sandbox.lockdown`, loosened where the
start of a compiled program needs more: it loads its libraries and starts one thread.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import resource
import struct
import sys
from types import ModuleType

EXECUTE, READ_FILE = 1, 4
CLONE_THREAD = 0x10000
START_MB = 1024
"""Address space of the interpreter itself, in MiB: mostly reserved and never used."""

LOADS: dict[str, tuple[int | None, int | None]] = {
    "execveat": (322, 281), "access": (21, None), "faccessat": (269, 48), "openat": (257, 56), "newfstatat": (262, 79),
    "pread64": (17, 67), "mmap": (9, 222), "mprotect": (10, 226), "arch_prctl": (158, None),
    "set_tid_address": (218, 96), "sched_getaffinity": (204, 123),
}  # fmt: skip
"""Calls that the start of a program makes, with their numbers on x86-64 and aarch64."""


def measures(lockdown: ModuleType, memory_mb: int, files: list[str]) -> None:
    """Takes every measure that this system offers; needs nothing but system calls."""
    opened = rules(files)  # Before the change of user, who may not enter the folders above.
    if os.geteuid() == 0:
        lockdown.attempt(lockdown.drop_user)
    lockdown.attempt(lockdown.drop_capabilities)
    limits = {"AS": (memory_mb + START_MB) << 20, "NOFILE": 16}
    for name, most in (limits | dict.fromkeys(("FSIZE", "CORE", "MEMLOCK", "MSGQUEUE", "SIGPENDING"), 0)).items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    lockdown.prctl(lockdown.PR_SET_NO_NEW_PRIVS, 1)
    with contextlib.suppress(OSError):
        lockdown.landlock(opened)
    checked = {name: check for name, check in lockdown.CHECKED.items() if name not in LOADS}
    # A thread, but no process. The C library asks `clone3` first, whose flags no filter sees.
    thread = ((lockdown.ANY_BIT, CLONE_THREAD),)
    checked["clone"] = ((56, 220), 0, thread, lockdown.ALLOW, lockdown.PERMISSION)
    checked["clone3"] = ((435, 435), 0, (), lockdown.ALLOW, lockdown.ERRNO | errno.ENOSYS)
    # Limits may be read: the new ones, the third argument, are missing then.
    checked["prlimit64"] = ((302, 261), 2, ((lockdown.EQUAL, 0),), lockdown.ALLOW, lockdown.PERMISSION)
    lockdown.seccomp(lockdown.ALLOWED | LOADS, checked)


def rules(files: list[str]) -> list[bytes]:
    """Returns a Landlock rule for each file, which lets it be read and run."""
    opened = [os.open(file, os.O_PATH | os.O_CLOEXEC) for file in files if os.path.exists(file)]
    return [struct.pack("=Qi", EXECUTE | READ_FILE, file) for file in opened]


def main() -> None:
    """Becomes the interpreter."""
    folder, memory_mb, binary, files, *arguments = sys.argv[1:]
    sys.path.insert(0, folder)
    lockdown = importlib.import_module("lockdown")
    os.closerange(3, 1 << 16)
    interpreter = os.open(binary, os.O_RDONLY | os.O_CLOEXEC)
    measures(lockdown, int(memory_mb), [binary, *json.loads(files)])
    os.execve(interpreter, [binary, *arguments], {})


if __name__ == "__main__":
    main()
