"""`maia cache`: what it shows, what it removes, and what it refuses."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from maia_cache import PICTURE, TEXT, ContentCache, Picture
from maia_cache.command import age, cache, size
from maia_core.errors import UsageError
from maia_core.image import content_id
from maia_core.testing import DistributionSuite, disc


class TestDistribution(DistributionSuite):
    distribution = "maia-cache"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContentCache:
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path))
    return ContentCache(tmp_path / "content")


@pytest.fixture
def filled(store: ContentCache) -> ContentCache:
    for n in range(3):
        store.keep("Stable Diffusion", content_id(bytes([n])), Picture(disc("red", n)), PICTURE)
    store.keep("describer", content_id(b"x"), "a dog", TEXT)
    old = time.time() - 40 * 86_400
    os.utime(store.folder / "describer" / f"{content_id(b'x')}.json", (old, old))
    return store


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cache, arguments, catch_exceptions=False, standalone_mode=False)


def test_table_by_engine(filled: ContentCache) -> None:
    lines = run("list").output.splitlines()
    assert lines[0].split() == ["engine", "entries", "size", "last", "used"]
    assert lines[1].split()[:2] == ["describer", "1"]
    assert lines[1].endswith("6 weeks ago")
    assert lines[2].split()[:2] == ["stable-diffusion", "3"]
    assert lines[2].endswith("just now")
    assert f"of at most 10.0 GB, in {filled.folder}" in lines[-1]


def test_rows_for_machines_add_up(filled: ContentCache) -> None:
    rows = [json.loads(line) for line in run("list", "--json").output.splitlines()]
    assert [(row["engine"], row["entries"]) for row in rows] == [("describer", 1), ("stable-diffusion", 3)]
    assert sum(row["bytes"] for row in rows) == sum(entry.size for entry in filled.entries())


def test_empty_cache(store: ContentCache) -> None:
    assert run("list").output.startswith("0 B of at most 10.0 GB")
    assert run("list", "--json").output == ""
    assert run("verify").output == "0 entries are sound, 0 were broken\n"


def test_prune_by_age(filled: ContentCache) -> None:
    assert "1 entries would be removed" in run("prune", "--unused", "30d", "--dry-run").output
    assert "1 entries removed" in run("prune", "--unused", "30d").output
    assert {entry.engine for entry in filled.entries()} == {"stable-diffusion"}


def test_prune_by_engine_and_size(filled: ContentCache) -> None:
    assert "3 entries removed" in run("prune", "--engine", "stable-diffusion").output
    assert "1 entries removed" in run("prune", "--size", "0").output
    assert list(filled.entries()) == []


def test_prune_needs_to_know_what(filled: ContentCache) -> None:
    with pytest.raises(UsageError, match="--size 2GB, --unused 30d or --engine NAME"):
        run("prune")
    with pytest.raises(UsageError, match="Did you mean 'stable-diffusion'"):
        run("prune", "--engine", "stable-difusion")
    assert len(list(filled.entries())) == 4


def test_limit_is_written_and_kept(filled: ContentCache) -> None:
    left = run("limit", "150").output
    assert "at most 150 B are kept" in left
    assert "entries removed" in left
    assert ContentCache(filled.folder).max_bytes == 150
    assert "of at most 150 B" in run("list").output


def test_verify_says_what_was_broken(filled: ContentCache) -> None:
    path = filled.folder / "describer" / f"{content_id(b'x')}.json"
    path.write_text("{")
    result = run("verify")
    assert result.return_value == 1
    assert f"broken, removed: {path}" in result.output
    assert run("verify").return_value == 0


def test_names_of_files_give_the_terminal_no_orders(store: ContentCache) -> None:
    file = store.folder / "\x1b[31mengine\u202e" / f"{content_id(b'x')}\x1b[2J.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    said = run("list").output + run("verify").output
    assert "\\x1b[31mengine\\u202e" in said
    assert not {"\x1b", "\u202e"} & set(said)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("500", 500), ("1.5k", 1500), ("20 GB", 20 * 10**9), ("3mb", 3 * 10**6)]
)
def test_sizes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "20XB", "GB", "1e9", "ten"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="is not a size; write 500MB or 20GB"):
        size(text)


def test_ages() -> None:
    assert (age("90s"), age("12h"), age("30d"), age("2w")) == (90, 43_200, 2_592_000, 1_209_600)
    with pytest.raises(Exception, match="is not a time"):
        age("30")


@pytest.mark.parametrize("arguments", [["list"], ["verify"], ["prune", "--size", "1MB"], ["limit", "1GB"]])
@pytest.mark.parametrize("at", ["", "content"])
def test_a_file_in_place_of_the_cache_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], at: str
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("MAIA_CACHE", str(folder))
    file = folder / at
    file.parent.mkdir(exist_ok=True)
    file.write_text("not a folder")
    with pytest.raises(UsageError, match=r"cannot read the cache .* is a file; set MAIA_CACHE to a folder"):
        run(*arguments)
