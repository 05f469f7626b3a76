"""From what the user wrote to the shards of a data set: an archive, a folder of them, or a pattern."""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from maia_core.plugin import UsageError
from maia_datasets.encoded import existing, natural

MAX_SHARDS = 1_000_000

COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")
"""What compressed archives end with: they cannot be read in place."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,12})\.\.([0-9]{1,12})")


def shards(path: str) -> list[Path]:
    """Returns the archives that `path` means, those of a pattern with braces in its order, others in natural order.

    `data-{000000..000099}.tar` counts, `{train,val}.tar` chooses, `*.tar` is what is there.

    Raises:
        UsageError: there are none, or some of a pattern are missing; the message names the first.
    """
    if "://" in path or path.startswith("pipe:"):
        raise UsageError(f"{path}: shards are read from files; fetch them first, then set dataset.path to them")
    if not (_BRACES.search(path) or glob.has_magic(path)) or Path(path).expanduser().exists():
        there = existing(Path(path), "a tar archive, a folder of them, or a pattern such as data-{000..099}.tar")
        found = [there] if there.is_file() else _sorted(f for f in there.iterdir() if f.suffix.lower() == ".tar")
        packed = [] if there.is_file() else [f for f in there.iterdir() if f.name.lower().endswith(COMPRESSED)]
        if packed and found:
            raise UsageError(
                f"{path} also holds {packed[0].name}; unpack it to .tar, or set dataset.path to {path}/*.tar"
            )
    else:
        names = [os.path.expanduser(name) for name in expanded(path)]
        found = [
            file for name in names for file in (_sorted(map(Path, glob.glob(name))) if "*" in name else [Path(name)])
        ]
    if missing := [shard for shard in found if not shard.is_file()]:  # Or a pipe, which would wait for a writer.
        raise UsageError(
            f"{len(missing)} of {len(found)} shards of {path} are missing or not files, {missing[0]} is the first"
        )
    if not found:
        raise UsageError(f"{path} holds no tar archive; set dataset.path to shards, as in data-{{000..099}}.tar")
    return found


def expanded(pattern: str) -> Iterator[str]:
    """Yields the names that a pattern with braces stands for, as a shell would write them out.

    Raises:
        UsageError: a range is empty, or they are more than `MAX_SHARDS`.
    """
    pieces = _BRACES.split(pattern)
    choices = [_choices(piece, pattern) if i % 2 else [piece] for i, piece in enumerate(pieces)]
    _check(math.prod(map(len, choices)), pattern)
    return map("".join, itertools.product(*choices))


def _choices(braces: str, pattern: str) -> list[str]:
    counted = _RANGE.fullmatch(braces)
    if not counted:
        return braces.split(",")
    first, last = counted.groups()
    _check(int(last) - int(first) + 1, pattern)
    width = max(len(first), len(last)) if "0" in (first[0], last[0]) else 0
    return [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]


def _check(count: int, pattern: str) -> None:
    if not 0 < count <= MAX_SHARDS:
        raise UsageError(f"the braces of {pattern} stand for {max(count, 0):,} shards, not for 1 to {MAX_SHARDS:,}")


def _sorted(files: Iterable[Path]) -> list[Path]:
    return sorted(files, key=lambda file: natural(str(file)))
