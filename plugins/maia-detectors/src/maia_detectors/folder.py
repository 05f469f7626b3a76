"""What the folder of a model must hold, and a fingerprint of what it holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from maia_core.plugin import UsageError

SAFE = ".safetensors"
READ = (SAFE, ".json", ".txt", ".model")
"""Suffixes of the files that a model is made from."""

WHOLE = 1 << 24
BLOCK, BLOCKS = 1 << 16, 256
"""Of a file larger than `WHOLE` bytes this many blocks are read for the fingerprint, evenly spread."""


def check(folder: Path, name: str) -> None:
    """Checks that a folder holds a configuration and weights that are safe to load.

    Raises:
        UsageError: says what is missing.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"{name} holds no config.json; name the folder that `save_pretrained` wrote")
    if not any(folder.glob(f"*{SAFE}")):
        raise UsageError(
            f"{name} has no weights in safetensors; other formats run code when they are loaded, so choose a revision "
            "that has them, or convert it (`save_pretrained` writes them)"
        )


def model_type(folder: Path) -> str:
    """Returns the type that a model's configuration names; empty where it names none.

    Raises:
        UsageError: the configuration cannot be read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / 'config.json'} cannot be read; fetch the model again") from error
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def fingerprint(folder: Path) -> str:
    """Returns a hash of a model's files: 32 hexadecimal digits. Of large files it reads the size and 16 MB."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(file for file in folder.iterdir() if file.suffix in READ and file.is_file()):
        size = file.stat().st_size
        digest.update(f"\n{file.name} {size}\n".encode())
        with file.open("rb") as data:
            if size <= WHOLE:
                digest.update(data.read())
                continue
            for block in range(BLOCKS):
                data.seek((size - BLOCK) * block // (BLOCKS - 1))
                digest.update(data.read(BLOCK))
    return digest.hexdigest()
