"""Run folders that want to do harm: links, huge images, damaged files, values of any type."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maia_view.library import Library
from maia_view.rows import read_row

pytest.importorskip("starlette.testclient")

LEAVES: list[Any] = ["<b>x", 1e308, float("nan"), 10**400, -1, None, [], {}, [[[]]], "", "x" * 50_000, True]


def place(client: Any) -> str:
    return f"/runs/{client.app.view.library.runs()[0].key}/"


def image_of(folder: Path) -> Path:
    return next(path for path in sorted((folder / "images").iterdir()) if ".mask." not in path.name)


def address(client: Any, image: Path, kind: str = "thumb.webp") -> str:
    return f"/images/{client.app.view.library.runs()[0].key}/{image.name.partition('.')[0]}.{kind}"


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["thumb.webp", "full.png"])
@pytest.mark.parametrize(
    "content", [b"", b"not an image", png(100_000, 100_000), b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"\0" * 50]
)
def test_a_damaged_or_huge_image_is_no_image(
    copied: Callable[..., Path], open_app: Callable[..., Any], content: bytes, kind: str
) -> None:
    folder = copied()
    client = open_app(folder.parent)
    image = image_of(folder)
    image.write_bytes(content)
    assert client.get(address(client, image, kind)).status_code == 404
    assert client.get(place(client)).status_code == 200


def test_a_link_to_a_file_elsewhere_is_not_followed(
    copied: Callable[..., Path], open_app: Callable[..., Any], tmp_path: Path
) -> None:
    folder = copied()
    client = open_app(folder.parent)
    image = image_of(folder)
    secret = tmp_path / "secret.png"
    image.rename(secret)
    image.symlink_to(secret)
    assert client.get(address(client, image, "full.png")).status_code == 404
    image.unlink()
    os.mkfifo(image)
    assert client.get(address(client, image, "full.png")).status_code == 404
    (folder / "images").rename(tmp_path / "pixels")
    (folder / "images").symlink_to(tmp_path / "pixels")
    other = image_of(folder)
    assert client.get(address(client, other, "full.png")).status_code == 404
    (folder / "journal.jsonl").rename(tmp_path / "journal.jsonl")
    (folder / "journal.jsonl").symlink_to(tmp_path / "journal.jsonl")
    assert client.get(place(client)).status_code == 422


def test_links_between_folders_are_not_followed(copied: Callable[..., Path]) -> None:
    folder = copied()
    (folder.parent / "loop").symlink_to(folder.parent)
    assert [run.name for run in Library([folder.parent]).runs()] == [folder.name]


def test_a_thumbnail_of_one_run_is_never_shown_in_another(
    copied: Callable[..., Path], open_app: Callable[..., Any], shelf: Path
) -> None:
    honest = open_app(shelf / "first")
    folder = copied()
    image = image_of(folder)
    other = sorted(path for path in (folder / "images").iterdir() if ".mask." not in path.name)[1]
    image.write_bytes(other.read_bytes())  # Another picture under this hash.
    forged = open_app(folder.parent)
    shown = forged.get(address(forged, image)).content
    assert honest.get(address(honest, image)).content != shown


@pytest.mark.slow
def test_whatever_a_record_holds_gives_a_page_or_says_what_is_wrong(
    copied: Callable[..., Path], open_app: Callable[..., Any]
) -> None:
    folder = copied()
    client = open_app(folder.parent)
    journal, manifest = folder / "journal.jsonl", folder / "run.json"
    lines, made_from = journal.read_text().splitlines(), manifest.read_text()
    rng = random.Random(0)
    shown = 0
    for number in range(40):
        events, made = [json.loads(line) for line in lines], json.loads(made_from)
        _change(rng, made if number % 4 == 0 else rng.choice(events))
        journal.write_text("\n".join(map(json.dumps, events)) + "\n")
        manifest.write_text(json.dumps(made))
        client.app.view.library._scanned = 0.0
        assert client.get("/").status_code == 200
        key = client.app.view.library.runs()[0].key
        status = client.get(place(client)).status_code
        assert status in (200, 422)
        assert client.get("/compare/", params={"run": [key, key]}).status_code == 200
        shown += status == 200
    assert shown >= 15


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"format": 2}', "[" * 100_000, '{"format": 2, "config": [], "system": 3}']
)
def test_a_damaged_manifest_is_a_row_that_says_so(copied: Callable[..., Path], text: str) -> None:
    folder = copied()
    (folder / "run.json").write_text(text)
    row = read_row(folder, "k", "run")
    assert row.status == "unreadable"
    assert row.problem


@pytest.mark.parametrize(
    "verdict",
    [
        {"predictions": [{"pearson": []}]},
        {"predictions": [{"pearson": 3}]},
        {"predictions": [{}]},
        {"predictions": {"a": 1}},
        {"predictions": 5},
        [1],
        "verified",
    ],
)
def test_a_damaged_value_is_a_row_that_says_so_and_takes_down_no_list(
    shelf: Path, tmp_path: Path, open_app: Callable[..., Any], verdict: Any
) -> None:
    folder = shutil.copytree(shelf, tmp_path / "runs")
    lines = (folder / "first" / "journal.jsonl").read_text().splitlines()
    lines[-1] = json.dumps(json.loads(lines[-1]) | {"verdict": verdict})
    (folder / "first" / "journal.jsonl").write_text("\n".join(lines) + "\n")
    client = open_app(folder)
    page = client.get("/")
    assert page.status_code == 200
    assert "snow" in page.text
    client.app.view.library.read_all()  # As the thread that prepares the first page does.
    row = next(row for row in client.app.view.library.known_rows() if row.name == "first")
    assert (row.status, "damaged" in row.problem) == ("unreadable", True)


@pytest.mark.parametrize(
    "config", [{"dataset": {"name": ["x"]}}, {"dataset": {"name": 5}}, {"limits": 5, "task": [{"name": ["a"]}]}]
)
def test_settings_of_any_type_are_compared(
    shelf: Path, tmp_path: Path, open_app: Callable[..., Any], config: dict[str, Any]
) -> None:
    folder = shutil.copytree(shelf, tmp_path / "runs")
    manifest = folder / "first" / "run.json"
    made = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(made | {"config": made["config"] | config}))
    client = open_app(folder)
    keys = [run.key for run in client.app.view.library.runs()]
    assert client.get("/compare/", params={"run": keys}).status_code == 200


def test_names_of_folders_are_texts_too(tmp_path: Path, new_run: Any, open_app: Callable[..., Any]) -> None:
    names = ["<script>alert(1)<", "a b%20c&d", "ünï\u202ecode", "x" * 200, os.fsdecode(b"bytes-\xff")]
    for name in names:
        new_run(tmp_path / name).end("snow")
    client = open_app(tmp_path)
    html = client.get("/").text
    assert "<script>alert" not in html
    assert "\u202e" not in html
    for run in client.app.view.library.runs():
        assert client.get(f"/runs/{run.key}/").status_code == 200


def _change(rng: random.Random, value: Any) -> None:
    """Replaces one leaf somewhere in a JSON value."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = rng.choice(keys) if keys else None
        if key is None:
            return
        child = value[key]
        if isinstance(child, dict | list) and child and rng.random() < 0.9:
            value = child
            continue
        if key != "event":
            value[key] = rng.choice(LEAVES)
        return
