"""Where the files in a tar archive lie: found once by reading its headers, then kept in the cache.

Nothing is ever unpacked, so names in an archive (`../x`, `/etc/x`) are names only.
"""

from __future__ import annotations

import json
import tarfile
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from maia_core.plugin import RunContext, UsageError, content_id, one_line, write_atomically
from maia_datasets.encoded import printable
from maia_datasets.stored import FilePart

VERSION = 2
"""Counts the changes of the cache file's form."""

ELSEWHERE = -1
"""The offset of a file whose bytes the archive does not hold as they are: a symbolic link, a sparse file."""

MAX_HEADER = 1 << 20
"""Bytes that one header may ask to read: a long name and other remarks. An archive that asks for more is refused."""


class Member(NamedTuple):
    """A file in an archive; its name is made `printable`. Its offset may be `ELSEWHERE`."""

    name: str
    offset: int
    size: int


_MEMBERS = TypeAdapter(list[Member])


def members(archive: Path, context: RunContext) -> list[tuple[str, FilePart | None]]:
    """Returns the names of the files in a tar archive, in its order, and where their bytes lie.

    A hard link lies where the earlier file does that it names. A symbolic link and a sparse file lie nowhere (None). A
    file that reaches beyond the archive's end (the archive was cut off) is listed; reading it fails.

    Raises:
        UsageError: it is not a plain tar archive, or a broken one.
    """
    stat = archive.stat()
    source = f"{VERSION} {archive.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    kept = context.cache / "datasets" / f"tar-{content_id(source.encode('utf-8', 'surrogateescape'))}.json"
    found = _load(kept, context)
    if found is None:
        found = _read_headers(archive)
        try:
            write_atomically(kept, json.dumps(found).encode())
        except OSError as error:
            context.warn(f"the index of {archive.name} cannot be kept in {kept.parent}: {error.strerror}")
    return [
        (name, None if offset == ELSEWHERE else FilePart(str(archive), offset, size)) for name, offset, size in found
    ]


def _load(kept: Path, context: RunContext) -> list[Member] | None:
    try:
        return _MEMBERS.validate_json(kept.read_bytes()) if kept.exists() else None
    except (OSError, ValidationError) as error:
        context.warn(f"the cache file {kept} is broken and is made again ({type(error).__name__})")
        return None


class _Headers(FileIO):
    """A file of which `tarfile` may read headers only: a forged size cannot make it read gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError("a header is longer than any honest one")
        return super().read(size)


def _read_headers(archive: Path) -> list[Member]:
    found = []
    files: dict[str, tuple[int, int]] = {}
    try:
        with _Headers(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            before, end = -1, archive.stat().st_size
            while before < end and (member := tar.next()) is not None:
                if tar.offset <= before or member.size < 0:
                    raise tarfile.ReadError("a header points backwards")
                before = tar.offset
                tar.members.clear()  # type: ignore[attr-defined]  # Else it keeps them all.
                if member.isreg() and not member.issparse():
                    files[member.name] = member.offset_data, member.size
                elif member.isreg() or member.issym() or member.islnk():
                    files[member.name] = files.get(member.linkname if member.islnk() else "", (ELSEWHERE, 0))
                else:
                    continue
                found.append(Member(printable(member.name), *files[member.name]))
    except Exception as error:  # A forged header makes `tarfile` raise more than its own errors.
        raise UsageError(
            f"{archive} is not a sound tar archive without compression ({one_line(error)}); "
            "unpack .tar.gz to .tar first, or fetch it again"
        ) from error
    return found
