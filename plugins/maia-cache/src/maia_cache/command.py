"""`maia cache`: Show, check and prune the cached results of each engine."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maia_cache.entries import Entry
    from maia_cache.store import ContentCache

BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
NAMES = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def size(text: str) -> int:
    """Reads a number of bytes: `500MB`, `20 GB`, `0`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if not found:
        raise click.BadParameter(f"'{text}' is not a size; write 500MB or 20GB")
    return int(float(found[1]) * BYTES[found[2].upper()])


def age(text: str) -> float:
    """Reads a time in seconds: `12h`, `30d`, `8w`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip(), re.IGNORECASE)
    if not found:
        raise click.BadParameter(f"'{text}' is not a time; write 12h, 30d or 8w")
    return float(found[1]) * SECONDS[found[2].lower()]


@click.group()
def cache() -> None:
    """Show, check and prune the cached results of every generator, editor and describer."""


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of a table.")
def list_engines(as_json: bool) -> None:
    """List the engines with the number, size and last use of their cached results."""
    store = _store()
    engines = _by_engine(store.entries())
    if as_json:
        for name, entries in engines.items():
            last = round(max(entry.used for entry in entries))
            row = {"engine": name, "entries": len(entries), "bytes": _bytes(entries), "used": last}
            click.echo(json.dumps(row))
        return
    rows = [("engine", "entries", "size", "last used")]
    for name, entries in engines.items():
        since = time.time() - max(entry.used for entry in entries)
        rows.append((_clean(name), f"{len(entries):,}", _size(_bytes(entries)), _ago(since)))
    if engines:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, (name, count, held, used) in enumerate(rows):
            line = f"{name:{widths[0]}}  {count:>{widths[1]}}  {held:>{widths[2]}}  {used}"
            click.echo(click.style(line, bold=number == 0))
        click.echo()
    total = sum(map(_bytes, engines.values()))
    click.echo(f"{_size(total)} of at most {_size(store.max_bytes)}, in {store.folder}")


@cache.command()
@click.option(
    "--size",
    "most",
    type=size,
    metavar="SIZE",
    help="Remove the entries used longest ago, until at most this size is left: 2GB.",
)
@click.option("--unused", type=age, metavar="TIME", help="Remove the entries that were not used for this long: 30d.")
@click.option("--engine", help="Count and remove entries of this engine only; alone, it removes all of them.")
@click.option("--dry-run", is_flag=True, help="Print the entries to remove, and remove none.")
def prune(most: int | None, unused: float | None, engine: str | None, dry_run: bool) -> None:
    """Remove entries by size, age or engine. A run that needs a removed result makes it again, at its price."""
    from maia_core.plugin import UsageError, did_you_mean

    store = _store()
    known = list(_by_engine(store.entries()))
    if engine is not None and engine not in known:
        hint = did_you_mean(engine, known) or f" There are: {', '.join(known) or 'none'}."
        raise UsageError(f"nothing is kept of an engine '{engine}'.{hint}")
    if most is None and unused is None:
        if engine is None:
            raise UsageError("say what to remove: --size 2GB, --unused 30d or --engine NAME")
        most = 0
    gone = store.prune(most, unused, engine, dry_run=dry_run)
    done = "would be removed" if dry_run else "removed"
    click.echo(f"{len(gone):,} entries {done}, {_size(_bytes(gone))}")


@cache.command()
def verify() -> int:
    """Read every entry, and remove those that are broken. Exit code 1 if there were any."""
    sound, broken = _store().verify()
    for entry in broken:
        click.echo(f"broken, removed: {_clean(str(entry.path))}")
    click.echo(f"{sound:,} entries are sound, {len(broken):,} were broken")
    return 1 if broken else 0


@cache.command()
@click.argument("most", type=size, metavar="SIZE")
def limit(most: int) -> None:
    """Set the largest size of the cache, such as 20GB, for every run that uses this folder."""
    store = _store()
    store.set_limit(most)
    gone = store.prune(most)
    removed = f"; {len(gone):,} entries removed, {_size(_bytes(gone))}" if gone else ""
    click.echo(f"at most {_size(most)} are kept in {store.folder}{removed}")


def _clean(name: str) -> str:
    from maia_core.plugin import printable_line

    return printable_line(name)


def _store() -> ContentCache:
    from maia_cache.store import shared
    from maia_core.plugin import Context, UsageError

    store = shared(Context())
    there = next(part for part in (store.folder, *store.folder.absolute().parents) if part.exists())
    if not there.is_dir():
        raise UsageError(f"cannot read the cache {store.folder}: {there} is a file; set MAIA_CACHE to a folder")
    return store


def _by_engine(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    by_engine: dict[str, list[Entry]] = {}
    for entry in entries:
        by_engine.setdefault(entry.engine, []).append(entry)
    return dict(sorted(by_engine.items()))


def _bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)


def _size(count: int) -> str:
    unit = next((unit for unit in reversed(BYTES) if count >= BYTES[unit]), "")
    return f"{count / BYTES[unit]:.1f} {unit.replace('K', 'k')}B" if unit else f"{count} B"


def _ago(seconds: float) -> str:
    unit = next((unit for unit in reversed(SECONDS) if seconds >= 2 * SECONDS[unit]), "s")
    return f"{seconds / SECONDS[unit]:.0f} {NAMES[unit]} ago" if seconds >= 2 else "just now"
