"""What a model's folder must hold, and a fingerprint of what it holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from maia_core.plugin import UsageError

SAFE = ".safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Suffixes of weights that run code when they are loaded."""

READ = (SAFE, ".json", ".jinja", ".model", ".txt")
"""Suffixes of the files that a model is made from."""

BLOCK, BLOCKS = 1 << 16, 256
"""Of a file larger than these blocks together, this many are read for the fingerprint, evenly spread."""


def check(folder: Path, name: str) -> None:
    """Checks that a folder holds a configuration and whole weights that are safe to load.

    Raises:
        UsageError: says what is missing.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"{name} holds no config.json; name the folder that `save_pretrained` wrote")
    names = {file.name for file in folder.iterdir() if file.exists()}
    if not any(file.endswith(SAFE) for file in names):
        raise UsageError(no_safe_weights(name, names))
    for index in folder.glob(f"*{SAFE}.index.json"):
        try:
            parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{name}: {index.name} cannot be read; fetch the model again") from error
        if lacking := sorted(parts - names):
            raise UsageError(f"{name} lacks {len(lacking)} of its files, such as {lacking[0]}; fetch the model again")


def no_safe_weights(name: str, files: set[str]) -> str:
    """Says why a model without safetensors cannot be used."""
    if any(file.endswith(PICKLED) for file in files):
        return (
            f"{name} has its weights as pickle files only, which run code when they are loaded; choose a revision with "
            "safetensors, or convert them (`save_pretrained` writes safetensors)"
        )
    return f"{name} has no weights in safetensors"


def fingerprint(folder: Path) -> str:
    """Returns a hash of a model's files: 32 hexadecimal digits.

    Small files are read whole; of large ones the size and 256 blocks of 64 kB. Training or merging weights changes some
    of these, a change of single numbers may not.
    """
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(file for file in folder.iterdir() if file.suffix in READ and file.is_file()):
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
