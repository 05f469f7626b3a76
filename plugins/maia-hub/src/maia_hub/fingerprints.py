"""Fingerprints of the files of a model, which name its weights in caches and records."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from maia_core.plugin import content_id, write_atomically
from maia_hub.weights import SAFE

BLOCK, BLOCKS = 1 << 16, 256
"""Of a file larger than these blocks together, `sampled_fingerprint` reads this many blocks, evenly spread."""

DIGEST = re.compile(r"[0-9a-f]{64}")
"""A SHA-256 in hexadecimal digits."""

WARN_BYTES = 3_000_000_000
"""Bytes to read from which on `exact_fingerprint` warns: about five seconds."""


def sampled_fingerprint(folder: Path, suffixes: tuple[str, ...]) -> str:
    """Returns a hash of the files of a model: 32 hexadecimal digits.

    Small files are read whole; of large files the size and 256 blocks of 64 kB. Training or merging weights changes
    some of these blocks, a change of single numbers may not.
    """
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(file for file in folder.iterdir() if file.suffix in suffixes and file.is_file()):
        size = file.stat().st_size
        digest.update(f"\n{file.name} {size}\n".encode())
        with file.open("rb") as data:
            if size <= BLOCK * BLOCKS:
                digest.update(data.read())
                continue
            for block in range(BLOCKS):
                data.seek((size - BLOCK) * block // (BLOCKS - 1))
                digest.update(data.read(BLOCK))
    return digest.hexdigest()


def exact_fingerprint(folder: Path, files: Iterable[Path], cache: Path, warn: Callable[[str], None]) -> str:
    """Returns a hash of the content of files: 32 hexadecimal digits, independent of the path of `folder`.

    A file in the cache of the Hub already has its hash as its name. Of other files every byte is read once; the hash of
    weights is cached by path, size and time of change.

    Args:
        folder: The folder of the model.
        files: Files in the folder.
        cache: The folder for cached hashes.
        warn: Takes a line if MAIA must read gigabytes.
    """
    digests = {path: _known_digest(path, cache) for path in sorted(set(files))}
    unread = sum(path.stat().st_size for path, digest in digests.items() if not digest)
    if unread > WARN_BYTES:
        warn(f"reading {unread / 1e9:.0f} GB of weights once to compute their fingerprint")
    pairs = ((path.relative_to(folder).as_posix(), digest or _read(path, cache)) for path, digest in digests.items())
    return content_id(*(part.encode() for pair in pairs for part in pair))


def _known_digest(file: Path, cache: Path) -> str:
    """Returns the hash of a file if it is known without reading the file, else an empty string."""
    real = file.resolve()
    if real.parent.name == "blobs" and DIGEST.fullmatch(real.name):
        return real.name
    try:
        cached = _cache_file(real, cache).read_text()
    except (OSError, ValueError):
        return ""
    return cached if DIGEST.fullmatch(cached) else ""


def _read(file: Path, cache: Path) -> str:
    real = file.resolve()
    with real.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    if file.suffix == SAFE:
        with contextlib.suppress(OSError):  # Then the next run reads the file again.
            write_atomically(_cache_file(real, cache), digest.encode())
    return digest


def _cache_file(real: Path, cache: Path) -> Path:
    """Returns the path for the cached hash of a file in its present state."""
    status = real.stat()
    return cache / content_id(str(real).encode(), str(status.st_size).encode(), str(status.st_mtime_ns).encode())
