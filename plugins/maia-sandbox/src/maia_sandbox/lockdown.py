"""The kernel's measures around the child process, by ctypes alone; and the reason why they cannot work here.

The order matters: drop root, resource limits, no new privileges, Landlock, seccomp, then a probe that
open, socket and fork are refused. Only seccomp is mandatory: alone it already refuses files, network and processes; the
others stand behind it. Plain ctypes rather than bindings of libseccomp and Landlock: nothing to install or to trust.

Sources: the kernel's documentation of `seccomp_filter` and `landlock`, its tables of system calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping

if sys.platform != "win32":
    import resource

NOBODY = 65534
OWN = -1
"""In a test stands for the number of the process itself."""

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
SECCOMP_SET_FILTER, SECCOMP_ALL_THREADS = 1, 1
SIGKILL = 9
HOST_SIGNALS = 14, 12, 18
"""Signals that the host sends: SIGALRM (the time is over), SIGUSR2 (write down the stack), SIGCONT."""

# Names to (x86-64, aarch64) numbers; None where an architecture has no such call.
Numbers = tuple[int | None, int | None]
ALLOWED: dict[str, Numbers] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "close": (3, 57), "lseek": (8, 62),
    "fstat": (5, 80), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216), "madvise": (28, 233),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "futex": (202, 98), "sched_yield": (24, 124),
    "getcpu": (309, 168), "membarrier": (324, 283), "rseq": (334, 293), "set_robust_list": (273, 99),
    "getpid": (39, 172), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getrandom": (318, 278), "getrusage": (98, 165), "times": (100, 153), "time": (201, None),
    "gettimeofday": (96, 169), "nanosleep": (35, 101), "poll": (7, None), "ppoll": (271, 73), "select": (23, None),
    "pselect6": (270, 72), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
"""Calls without a condition; those that are neither here nor in `CHECKED` get EPERM."""
CAPSET, SECCOMP, PERSONALITY = (126, 91), (317, 277), (135, 92)
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
PROT_EXEC, ADDR_NO_RANDOMIZE = 4, 0x0040000
MAX_CLOCK = 11
"""Highest number of a clock that is the machine's; others name processes, files or devices."""

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine to its column in the tables and its audit number."""
X32_BIT = 0x40000000

KILL, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
ACCESS, PERMISSION = ERRNO | errno.EACCES, ERRNO | errno.EPERM

Check = tuple[tuple[int, int], int, tuple[tuple[int, int], ...], int, int]
CHECKED: dict[str, Check] = {
    # Memory, but none that can be executed.
    "mmap": ((9, 222), 2, ((ANY_BIT, PROT_EXEC),), ACCESS, ALLOW),
    "mprotect": ((10, 226), 2, ((ANY_BIT, PROT_EXEC),), ACCESS, ALLOW),
    # Clocks, but none of another process.
    "clock_gettime": ((228, 113), 0, ((AT_LEAST, MAX_CLOCK + 1),), PERMISSION, ALLOW),
    "clock_getres": ((229, 114), 0, ((AT_LEAST, MAX_CLOCK + 1),), PERMISSION, ALLOW),
    "clock_nanosleep": ((230, 115), 0, ((AT_LEAST, MAX_CLOCK + 1),), PERMISSION, ALLOW),
    # Handlers of signals, but not of those that the host sends.
    "rt_sigaction": ((13, 134), 0, tuple((EQUAL, number) for number in HOST_SIGNALS), PERMISSION, ALLOW),
    # Signals and processors, but only its own; 0 stands for the process itself.
    "tgkill": ((234, 131), 0, ((EQUAL, OWN),), ALLOW, PERMISSION),
    "sched_getaffinity": ((204, 123), 0, ((EQUAL, 0), (EQUAL, OWN)), ALLOW, PERMISSION),
}
"""Name to numbers, the argument that decides, tests of it (comparison and operand), and the actions where one holds and
where none does."""


def missing() -> str:
    """Returns the reason why the process sandbox cannot work here, with the way out; or an empty string."""
    if sys.platform != "linux":
        return f"it needs Linux with seccomp, this is {sys.platform}; install maia-sandbox-monty instead"
    if platform.machine() not in ARCHITECTURES or sys.maxsize < 2**32:
        return f"it knows the system calls of 64-bit {' and '.join(ARCHITECTURES)} alone, not of {platform.machine()}"
    libc = ctypes.CDLL(None, use_errno=True)
    # With no filter given, a kernel that has seccomp filters complains about the address, any other about the mode.
    libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, None, 0, 0)
    if ctypes.get_errno() != errno.EFAULT:
        return "this kernel (or the container) has no seccomp filters; allow them, or install maia-sandbox-monty"
    return ""


def apply(memory_mb: int) -> list[tuple[str, str]]:
    """Locks this process down for good.

    Args:
        memory_mb: Address space beyond the present one, in MiB.

    Returns:
        Pairs of measure and state, in the order taken.

    Raises:
        OSError: seccomp could not be put in force.
    """
    with open("/proc/self/statm") as file:  # Now, for /proc is soon out of sight.
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    measures = [("environment", "empty")]
    os.environ.clear()
    root = os.geteuid() == 0
    measures.append(("root folder", attempt(_empty_root) if root else "the host's (started by an ordinary user)"))
    measures.append(("user", attempt(drop_user) if root else f"the host's ({os.geteuid()})"))
    measures.append(("capabilities", attempt(drop_capabilities)))
    prctl(PR_SET_PDEATHSIG, SIGKILL)  # After the change of user, which would undo it.
    prctl(PR_SET_DUMPABLE, 1)  # The host must see where the process waits: see `child.Child.is_at_rest`.
    measures.append(("resource limits", _limit_resources(used, memory_mb)))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    measures += [("new privileges", "refused"), ("Landlock", attempt(landlock))]
    return [*measures, ("seccomp", seccomp())]


def probe() -> list[str]:
    """Makes attempts that must fail now, and returns those that the kernel did not refuse."""
    import _socket

    tries: dict[str, Callable[[], object]] = {
        "opening a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "a socket": lambda: _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM),
        "a new process": lambda: os.fork() or os._exit(0),
    }
    possible = list(tries)
    for name, attempt in tries.items():
        with contextlib.suppress(OSError):  # One that fails otherwise is not refused.
            try:
                attempt()
            except PermissionError:
                possible.remove(name)
    return possible


def repeat_addresses() -> None:
    """Lets the processes that this thread starts use the same addresses, so that `id` and sets of objects repeat."""
    with contextlib.suppress(OSError, KeyError):  # A container may refuse it.
        syscall(PERSONALITY[_column()], ctypes.c_ulong(ADDR_NO_RANDOMIZE))


def attempt(measure: Callable[[], str]) -> str:
    """Takes a measure that stands behind seccomp; where the kernel or a container refuses it, says so."""
    try:
        return measure()
    except OSError as error:
        return f"not available ({error.strerror})"


def prctl(option: int, argument: int) -> None:
    """Sets an attribute of this process."""
    _checked(ctypes.CDLL(None, use_errno=True).prctl(option, *map(ctypes.c_ulong, (argument, 0, 0, 0))))


def syscall(number: int, *arguments: object) -> int:
    """Makes a system call; raises OSError where it fails."""
    return _checked(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _empty_root() -> str:
    """Makes a folder that is removed already, in which nothing can ever be made, the root folder."""
    folder = tempfile.mkdtemp(prefix="maia-")
    os.chdir(folder)
    os.rmdir(folder)
    os.chroot(".")
    os.chdir("/")
    return "empty"


def drop_user() -> str:
    """Becomes the user who owns nothing."""
    with contextlib.suppress(PermissionError):  # A user namespace may forbid it; there are no groups to lose then.
        os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    return f"dropped to {NOBODY}"


def drop_capabilities() -> str:
    """Gives up every capability."""
    syscall(CAPSET[_column()], struct.pack("<Ii", 0x20080522, 0), bytes(24))
    return "none"


def _limit_resources(used: int, memory_mb: int) -> str:
    none = dict.fromkeys(("FSIZE", "NPROC", "MEMLOCK", "MSGQUEUE", "SIGPENDING"), 0)
    # A core limit of 1 byte, unlike 0, also keeps the kernel from a program that takes core dumps by a pipe.
    for name, most in {"AS": used + (memory_mb << 20), "NOFILE": 16, **none, "CORE": 1}.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    return f"{memory_mb} MiB more memory, 16 descriptors, no files, processes, queues or core dumps"


def _column() -> int:
    return ARCHITECTURES[platform.machine()][0]


def landlock(rules: Iterable[bytes] = ()) -> str:
    """Denies all file access, TCP and reaching other processes, as far as this kernel's Landlock knows them.

    Args:
        rules: Exceptions, as the kernel's `struct landlock_path_beneath_attr`.
    """
    version = syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    attributes = struct.pack("<QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = syscall(LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    for rule in rules:
        syscall(LANDLOCK_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0))
    syscall(LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)
    also = [name for name, since in (("TCP", 4), ("signals and abstract sockets", 6)) if version >= since]
    return f"version {version}: no files" + "".join(f", no {name}" for name in also)


def seccomp(allowed: Mapping[str, Numbers] = ALLOWED, checked: Mapping[str, Check] = CHECKED) -> str:
    """Lets this process make the allowed calls, and the checked ones under their conditions, and no other."""
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in _filter(allowed, checked))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    flags = ctypes.c_uint(SECCOMP_ALL_THREADS)  # A mathematics library may have started threads all the same.
    syscall(SECCOMP[_column()], ctypes.c_uint(SECCOMP_SET_FILTER), flags, program)
    return f"{len(allowed) + len(checked)} calls allowed"


def _filter(allowed: Mapping[str, Numbers], checked: Mapping[str, Check]) -> Iterator[tuple[int, int, int, int]]:
    """Yields the filter's instructions: (code, skip if true, skip if false, operand)."""
    column, architecture = ARCHITECTURES[platform.machine()]
    yield LOAD, 0, 0, ARCHITECTURE_AT
    yield EQUAL, 1, 0, architecture
    yield RETURN, 0, 0, KILL
    yield LOAD, 0, 0, NUMBER_AT
    if column == 0:
        yield AT_LEAST, 0, 1, X32_BIT
        yield RETURN, 0, 0, KILL
    for either in allowed.values():
        if (number := either[column]) is not None:
            yield EQUAL, 0, 1, number
            yield RETURN, 0, 0, ALLOW
    for numbers, argument, tests, held, otherwise in checked.values():
        yield EQUAL, 0, len(tests) + 3, numbers[column]
        yield LOAD, 0, 0, ARGUMENTS_AT + 8 * argument
        for left, (comparison, operand) in zip(range(len(tests), 0, -1), tests, strict=True):
            yield comparison, left, 0, os.getpid() if operand == OWN else operand
        yield RETURN, 0, 0, otherwise
        yield RETURN, 0, 0, held
    yield RETURN, 0, 0, PERMISSION
