"""Tells settings that were written on this machine from those in a folder that came from somewhere else.

The settings of a run choose plugins, files, servers, and the variable whose value is sent to a server as a key. Those
of a folder from elsewhere are not carried out unasked.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from maia_core.plugin import UsageError, cache_dir, dumped, open_plain, plain_folder, write_new
from maia_runs.local_code import local_code

SECRET_BYTES = 16
"""Length of a secret."""


def local_secret(file: Path) -> bytes:
    """Returns the secret in a file, 16 random bytes; the first call makes it, in a folder that only its owner opens.

    Where it cannot be written, the secret is a random one that this process alone knows.

    Raises:
        UsageError: others may know or replace the secret, or it is damaged.
    """
    try:
        if not file.exists():
            write_new(plain_folder(file.parent, 0o700) / file.name, secrets.token_bytes(SECRET_BYTES), secret=True)
        with open_plain(file) as opened:
            secret, status, folder = opened.read(SECRET_BYTES + 1), os.fstat(opened.fileno()), os.lstat(file.parent)
    except OSError as error:
        if error.errno == errno.EINVAL or os.path.lexists(file):
            raise _refused(file, str(error.strerror).partition(";")[0]) from error
        return _of_this_process(file)
    faults = {
        "it does not belong to you": {status.st_uid, folder.st_uid} != {os.geteuid()},
        "others may read or write it": bool(status.st_mode & 0o077),
        "others may write its folder": bool(folder.st_mode & 0o022) or stat.S_ISLNK(folder.st_mode),
        f"it does not have {SECRET_BYTES} bytes": len(secret) != SECRET_BYTES,
    }
    for fault in filter(faults.__getitem__, faults):
        raise _refused(file, fault)
    return secret


def _refused(file: Path, fault: str) -> UsageError:
    return UsageError(
        f"cannot use the secret {file}: {fault}; delete the folder {file.parent} (older runs then need --trust), or "
        "set MAIA_CACHE to a folder of your own"
    )


@functools.cache
def _of_this_process(file: Path) -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def sign(settings: Mapping[str, object]) -> str:
    """Returns a signature (HMAC-SHA256) that only this machine's user can make.

    It covers the settings, and the Python files of the working folder to which they lead.

    Raises:
        UsageError: see `local_secret`.
    """
    key = local_secret(cache_dir() / f"secrets-{os.geteuid()}" / "signature")
    signed = dumped(settings, sort_keys=True)
    if code := local_code(settings):
        signed += dumped(code, sort_keys=True)
    return hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()


def check_signature(settings: Mapping[str, object], found: str, folder: Path, trusted: bool) -> None:
    """Refuses settings that do not bear this machine's signature.

    Raises:
        UsageError: they do not, and the user has not said that they are to be trusted.
    """
    if not (trusted or hmac.compare_digest(found.encode("utf-8", "replace"), sign(settings).encode())):
        named = ", ".join(map(os.path.relpath, local_code(settings)))
        code = f" The files that they lead to must be as they were, and where they were: {named}." if named else ""
        raise UsageError(
            f"{folder} was not created by you on this machine, or was changed since.{code} Its settings choose "
            "plugins, files, servers and keys: read them first, then pass --trust to carry them out"
        )
