"""Gets a pack: photographs where Debian's packages can be had, drawings where they cannot."""

from __future__ import annotations

import tempfile
from pathlib import Path

from maia_collage.build import Say, build_drawings, build_photographs, ready, size_of
from maia_collage.debian import PACKAGES, Unavailable, unpack
from maia_collage.pack import FETCH, FETCH_AGAIN, FETCH_DRAWINGS, KINDS, Pack, folder_of
from maia_core.plugin import UsageError, one_line


def fetch(cache: Path, kind: str, again: bool, say: Say) -> Pack:
    """Makes the pack of a kind, or drawings where photographs cannot be had; does nothing where it is whole already.

    Args:
        cache: The cache folder.
        kind: `photographs` or `drawings`.
        again: Rebuild a pack that is there already.
        say: Takes one line about what was done, and one about a fallback.

    Raises:
        UsageError: no pack can be made here; the message says why.
    """
    if not again and (pack := ready(kind, cache)):
        say(f"the pack of {kind} is there already: {summary(pack)}")
        return pack
    if kind == "photographs":
        try:
            pack = _photographs(cache, say)
        except Unavailable as error:
            say(f"Debian's packages cannot be had ({one_line(error)}); building the pack of drawings instead")
            return fetch(cache, "drawings", again, say)
    else:
        pack = build_drawings(cache)
    say(f"built the pack of {kind}: {summary(pack)}")
    return pack


def _photographs(cache: Path, say: Say) -> Pack:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as folder:
            say(f"fetching {' and '.join(PACKAGES)} from Debian (about 170 MB)")
            return build_photographs(unpack(PACKAGES, Path(folder)), cache)
    except OSError as error:
        raise UsageError(f"cannot write to {cache}: {error.strerror or error}") from error


def summary(pack: Pack) -> str:
    """Returns one line about a pack."""
    concepts = len({c.concept for c in pack.cutouts.values()})
    photographs = sum(map(len, pack.photographs.values()))
    size = size_of(pack.folder) / 1e6
    return (
        f"{len(pack.cutouts)} cut-outs of {concepts} concepts, {photographs} photographs of backgrounds,"
        f" {size:.0f} MB in {pack.folder}"
    )


def describe(cache: Path) -> list[str]:
    """Returns a line for each kind of pack."""
    lines = []
    for kind in KINDS:
        if not folder_of(kind, cache).exists():
            lines.append(f"{kind}: not fetched; {FETCH_DRAWINGS if kind == 'drawings' else FETCH}")
        elif pack := ready(kind, cache):
            lines.append(f"{kind}: {summary(pack)}")
        else:
            lines.append(f"{kind}: damaged; {FETCH_AGAIN}")
    return lines
