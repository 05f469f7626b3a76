"""Tells settings that were written on this machine from those in a folder that came from somewhere else.

The settings of a run choose plugins, files, servers, and the variable whose value is sent to a server as a key. Those
of a folder from elsewhere are not carried out unasked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from maia_core.config import cache_dir
from maia_core.errors import UsageError
from maia_core.text import dumped


def local_secret(file: Path) -> bytes:
    """Returns the secret in a file, which is made when first asked for; nothing where it cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
            made.write(secrets.token_bytes(16))
        return file.read_bytes()
    except OSError:
        return b""


def sign(settings: Mapping[str, object]) -> str:
    """Returns a signature (HMAC-SHA256) that only this machine's user can make; empty where no secret can be kept."""
    key, text = local_secret(cache_dir() / "seal"), dumped(settings, sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest() if key else ""


def check_signature(settings: Mapping[str, object], found: str, folder: Path, trusted: bool) -> None:
    """Refuses settings that do not bear this machine's signature.

    Raises:
        UsageError: they do not, and the user has not said that they are to be trusted.
    """
    if not (trusted or (found and hmac.compare_digest(found.encode(), sign(settings).encode()))):
        raise UsageError(
            f"{folder} was not begun with this machine's cache, or was changed since. Its settings choose plugins, "
            "files, servers and keys: read them first, then pass --trust to have them carried out"
        )
