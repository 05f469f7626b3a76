"""Files that are there whole or not at all, and are opened only where MAIA expects them."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

_FLAGS = {"rb": os.O_RDONLY, "ab": os.O_WRONLY | os.O_APPEND | os.O_CREAT, "r+b": os.O_RDWR | os.O_CREAT}


def open_plain(path: Path, mode: Literal["rb", "ab", "r+b"] = "rb") -> BinaryIO:
    """Opens a regular file: a link, a pipe or a device is refused, and never followed, waited for or cut.

    A lock or work file is opened so, because a folder from elsewhere may hold a link of its name.

    Args:
        path: The file; `ab` and `r+b` create one that is missing, and keep the content of one that is there.
        mode: As of `open`; reading is buffered, writing is not.

    Raises:
        OSError: the file cannot be opened, is not a regular file, or (if it is written) has a second name elsewhere.
    """
    try:
        handle = os.open(path, _FLAGS[mode] | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise _refusal(path, "it is a link, a pipe or a device; remove it") from None
        raise
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or (mode != "rb" and status.st_nlink > 1):
        os.close(handle)
        second = "it has a second name elsewhere; replace it by a copy"
        raise _refusal(path, second if stat.S_ISREG(status.st_mode) else "it is not a regular file; remove it")
    return open(handle, mode, buffering=-1 if mode == "rb" else 0)


def plain_folder(path: Path, mode: int = 0o777) -> Path:
    """Returns a folder, which is made if it is missing; a link to a folder is refused.

    Raises:
        OSError: it cannot be made, or is a link or a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode)
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise _refusal(path, "it is a link or a file where a folder belongs; remove it")
    return path


def _refusal(path: Path, reason: str) -> OSError:
    return OSError(errno.EINVAL, reason, str(path))


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file in one step, and makes its folder where there is none; another process sees all of it or nothing.

    Raises:
        OSError: the folder cannot be written, the disk is full, or `path` is a folder, a pipe or a device; nothing is
            left behind.
    """
    if path.exists() and not path.is_file():  # Root would replace a device of the machine.
        raise _refusal(path, "it is not a regular file")
    with _finished(path, data) as temporary:
        os.replace(temporary, path)


def write_new(path: Path, data: bytes, *, secret: bool = False) -> bool:
    """Writes a file in one step unless there is one of its name; returns whether it did.

    Args:
        path: The file.
        data: Its content.
        secret: Only its owner may read it, and it survives a power failure once it has its name.

    Raises:
        OSError: as for `write_atomically`.
    """
    with _finished(path, data, secret) as temporary:
        try:
            os.link(temporary, path)
        except OSError:  # There is one, or the file system has no links.
            if os.path.lexists(path):
                return False
            os.replace(temporary, path)
    return True


@contextlib.contextmanager
def _finished(path: Path, data: bytes, secret: bool = False) -> Iterator[Path]:
    """Yields a finished file beside `path`, which is gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    mode = 0o600 if secret else 0o666  # Less what the umask takes.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if secret:
                file.flush()
                os.fsync(handle)
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
