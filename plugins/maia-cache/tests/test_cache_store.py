"""The cache folder: what is kept comes back, broken files do not, the bound holds, processes and threads agree."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import PngImagePlugin

from maia_cache import ARRAYS, PICTURE, TEXT, ContentCache, Picture, shared
from maia_cache import store as store_module
from maia_core.context import Context
from maia_core.errors import ToolError, UsageError
from maia_core.image import Image, content_id
from maia_core.testing import disc

KEY = content_id(b"key")


def noise(seed: int, side: int = 64) -> Picture:
    """A picture of about 12 kB, whatever the compression."""
    return Picture(Image.from_pixels(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)))


@pytest.fixture
def cache(tmp_path: Path) -> ContentCache:
    return ContentCache(tmp_path / "content")


def file_of(cache: ContentCache) -> Path:
    [entry] = cache.entries()
    return entry.path


def test_picture_comes_back_with_its_warning_and_provenance(cache: ContentCache, tmp_path: Path) -> None:
    image = disc("red", 3).model_copy(update={"provenance": {"prompt": "собака", "title": "x", "seed": 3}})
    made = Picture(image.bind(disc("red", 3).pixels), "the words 'a — b' were cut")
    cache.keep("engine", KEY, made, PICTURE)
    found = ContentCache(tmp_path / "content").find("engine", KEY, PICTURE)
    assert found is not None
    assert (found.image.id, found.warning) == (image.id, made.warning)
    assert found.image.provenance == image.provenance
    assert (found.image.pixels() == image.pixels()).all()


def test_file_is_a_picture_that_any_viewer_opens(cache: ContentCache) -> None:
    cache.keep("engine", KEY, Picture(disc("red")), PICTURE)
    with PILImage.open(file_of(cache)) as picture:
        assert (picture.format, picture.size) == ("PNG", (32, 32))


@pytest.mark.parametrize("text", ["", "a dog", "a\ud800dog", "line\nline", "🐯" * 1000])
def test_text_comes_back(cache: ContentCache, text: str) -> None:
    cache.keep("engine", KEY, text, TEXT)
    assert cache.find("engine", KEY, TEXT) == text


def test_arrays_come_back_and_a_changed_file_counts_as_missing(cache: ContentCache) -> None:
    arrays = {"things": np.random.default_rng(0).random((4, 3)).astype(np.float32), "none": np.zeros((0, 2))}
    arrays |= {name: np.arange(3) for name in ("file", "args", "allow_pickle")}  # Names of parameters of `savez`.
    cache.keep("engine", KEY, arrays, ARRAYS)
    found = cache.find("engine", KEY, ARRAYS)
    assert found is not None
    assert {name: (a.dtype, a.tolist()) for name, a in found.items()} == {
        name: (a.dtype, a.tolist()) for name, a in arrays.items()
    }
    assert cache.verify() == (1, [])
    path = file_of(cache)
    path.write_bytes(ARRAYS.encode(content_id(b"other"), arrays))
    assert cache.find("engine", KEY, ARRAYS) is None
    path.write_bytes(path.read_bytes()[:-40])
    assert cache.find("engine", KEY, ARRAYS) is None


def test_engines_and_keys_are_apart(cache: ContentCache) -> None:
    cache.keep("one", KEY, "text", TEXT)
    assert cache.find("two", KEY, TEXT) is None
    assert cache.find("one", content_id(b"other"), TEXT) is None
    assert cache.find("one", KEY, PICTURE) is None


@pytest.mark.parametrize("name", ["../../etc", "OpenAI/GPT Image", "", "...", "a" * 500, "a\0b"])
def test_name_of_an_engine_cannot_leave_the_folder(cache: ContentCache, name: str) -> None:
    cache.keep(name, KEY, "text", TEXT)
    assert cache.find(name, KEY, TEXT) == "text"
    assert file_of(cache).parent.parent == cache.folder


# --- what is broken ---


def bomb() -> bytes:
    """A small file that claims a picture of 900 million pixels."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def repainted(data: bytes) -> bytes:
    """The same key and hash beside other pixels."""
    import io

    with PILImage.open(io.BytesIO(data)) as picture:
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("maia", picture.info["maia"])
        file = io.BytesIO()
        PILImage.new("RGB", picture.size, "blue").save(file, "PNG", pnginfo=texts)
    return file.getvalue()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "html": lambda data: b"<html>",
    "bomb": lambda data: bomb(),
    "repainted": repainted,
    "one bit": lambda data: data[:-60] + bytes([data[-60] ^ 1]) + data[-59:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_broken_picture_is_made_anew(cache: ContentCache, damage: str) -> None:
    cache.keep("engine", KEY, noise(1), PICTURE)
    path = file_of(cache)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert cache.find("engine", KEY, PICTURE) is None
    again = cache.recall("engine", [KEY], PICTURE, lambda places: [noise(1)])
    assert again[0].image.id == noise(1).image.id
    found = cache.find("engine", KEY, PICTURE)
    assert found is not None
    assert found.image.id == noise(1).image.id


def test_file_under_another_key_is_not_believed(cache: ContentCache) -> None:
    cache.keep("engine", KEY, Picture(disc("red")), PICTURE)
    other = content_id(b"other")
    file_of(cache).rename(cache.folder / "engine" / f"{other}.png")
    assert cache.find("engine", other, PICTURE) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"key": 1}', '{"key": "", "id": "", "text": 5}'])
def test_broken_text_counts_as_missing(cache: ContentCache, content: str) -> None:
    cache.keep("engine", KEY, "a dog", TEXT)
    file_of(cache).write_text(content)
    assert cache.find("engine", KEY, TEXT) is None


def test_changed_text_counts_as_missing(cache: ContentCache) -> None:
    cache.keep("engine", KEY, "a dog", TEXT)
    path = file_of(cache)
    path.write_text(path.read_text().replace("dog", "cat"))
    assert cache.find("engine", KEY, TEXT) is None


def test_verify_removes_what_is_broken(cache: ContentCache) -> None:
    for n in range(3):
        cache.keep("engine", content_id(bytes([n])), noise(n), PICTURE)
    cache.keep("words", KEY, "a dog", TEXT)
    broken = cache.folder / "engine" / f"{content_id(bytes([1]))}.png"
    broken.write_bytes(broken.read_bytes()[:-100])
    sound, removed = cache.verify()
    assert sound == 3
    assert [entry.path for entry in removed] == [broken]
    assert not broken.exists()


# --- the bound ---


def test_what_was_used_longest_ago_leaves_first(tmp_path: Path) -> None:
    size = len(PICTURE.encode(KEY, noise(0)))
    cache = ContentCache(tmp_path, max_bytes=10 * size + size // 2)
    keys = [content_id(bytes([n])) for n in range(11)]
    for n, key in enumerate(keys[:10]):
        cache.keep("engine", key, noise(n), PICTURE)
        used = time.time() - 1000 + n
        os.utime(tmp_path / "engine" / f"{key}.png", (used, used))
    assert cache.find("engine", keys[0], PICTURE) is not None, "the oldest is used, so it stays"
    cache.keep("engine", keys[10], noise(10), PICTURE)
    left = {key for key in keys if (tmp_path / "engine" / f"{key}.png").exists()}
    assert left == {keys[0], *keys[3:]}


def test_two_that_write_keep_the_bound_together(tmp_path: Path) -> None:
    size = len(PICTURE.encode(KEY, noise(0)))
    one, two = (ContentCache(tmp_path, max_bytes=20 * size) for _ in range(2))
    for n in range(30):
        one.keep("a", content_id(bytes([n])), noise(n), PICTURE)
        two.keep("b", content_id(bytes([n])), noise(n), PICTURE)
        assert sum(entry.size for entry in one.entries()) <= 20 * size * 1.1 + 2 * size


def test_bound_of_the_folder_holds_for_all_that_open_it(tmp_path: Path) -> None:
    ContentCache(tmp_path).set_limit(30_000)
    cache = ContentCache(tmp_path)
    assert cache.max_bytes == 30_000
    for n in range(6):
        cache.keep("engine", content_id(bytes([n])), noise(n), PICTURE)
    assert 0 < sum(entry.size for entry in cache.entries()) <= 30_000
    (tmp_path / "limit").write_text("much")
    assert cache.max_bytes == store_module.DEFAULT_BYTES


def test_nothing_fits(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, max_bytes=0)
    assert cache.keep("engine", KEY, "a dog", TEXT) == "a dog"
    assert list(cache.entries()) == []
    with pytest.raises(UsageError, match="-1 bytes"):
        ContentCache(tmp_path, max_bytes=-1)


def test_prune_by_age_size_and_engine(cache: ContentCache) -> None:
    for engine in ("one", "two"):
        for n in range(4):
            key = content_id(bytes([n]))
            cache.keep(engine, key, f"text {n}", TEXT)
            used = time.time() - 1000 * n
            os.utime(cache.folder / engine / f"{key}.json", (used, used))
    assert len(cache.prune(unused=2500, engine="one", dry_run=True)) == 1
    assert len(cache.prune(unused=2500, engine="one")) == 1
    assert {entry.engine for entry in cache.prune(max_bytes=0, engine="two")} == {"two"}
    assert not (cache.folder / "two").exists()
    assert len(list(cache.entries())) == 3


def test_killed_process_leaves_nothing_for_ever(cache: ContentCache) -> None:
    cache.keep("engine", KEY, "text", TEXT)
    old, new = (cache.folder / "engine" / f".{n}.png" for n in range(2))
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert [entry.path.name for entry in cache.entries()] == [f"{KEY}.json"]
    assert (old.exists(), new.exists()) == (False, True)


# --- what cannot be kept ---


def test_full_disk_loses_nothing_and_is_said_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    said: list[str] = []
    cache = ContentCache(file / "content", warn=said.append)
    for n in range(3):
        made = cache.recall("engine", [content_id(bytes([n]))], TEXT, lambda places: ["made"])
        assert made == ["made"]
    assert len(said) == 1
    assert "nothing can be kept in" in said[0]


def test_huge_picture_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_cache.forms.MAX_PIXELS", 100)
    said: list[str] = []
    cache = ContentCache(tmp_path, warn=said.append)
    assert cache.keep("engine", KEY, noise(1), PICTURE).image.id == noise(1).image.id
    assert "64 x 64 pixels" in said[0]


def test_file_system_without_links(cache: ContentCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert cache.keep("engine", KEY, "first", TEXT) == "first"
    assert cache.keep("engine", KEY, "second", TEXT) == "first"
    assert [entry.path.name for entry in cache.entries()] == [f"{KEY}.json"]


@pytest.mark.parametrize("special", ["pipe", "link to a device", "link to another entry", "folder"])
def test_an_entry_that_is_not_a_file_is_made_again(cache: ContentCache, special: str) -> None:
    """Reading a pipe would wait for ever, reading `/dev/zero` would fill the memory."""
    cache.keep("engine", KEY, "first", TEXT)
    path = file_of(cache)
    path.rename(path.with_name(f"{content_id(b'other')}.json"))
    match special:
        case "pipe":
            os.mkfifo(path)
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "link to another entry":
            path.symlink_to(path.with_name(f"{content_id(b'other')}.json"))
        case "folder":
            path.mkdir()
    assert cache.find("engine", KEY, TEXT) is None
    assert cache.recall("engine", [KEY], TEXT, lambda places: ["second"]) == ["second"]


def test_a_linked_folder_of_an_engine_is_not_written_through(cache: ContentCache, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    cache.folder.mkdir()
    (cache.folder / "engine").symlink_to(tmp_path / "elsewhere")
    assert cache.keep("engine", KEY, "value", TEXT) == "value"
    assert not list((tmp_path / "elsewhere").iterdir())


# --- several at once ---


def test_the_first_of_two_stays(tmp_path: Path) -> None:
    one, two = ContentCache(tmp_path), ContentCache(tmp_path)
    first = one.keep("engine", KEY, noise(1), PICTURE)
    second = two.keep("engine", KEY, noise(2), PICTURE)
    assert first.image.id == second.image.id == noise(1).image.id


def test_threads_make_a_thing_once(cache: ContentCache) -> None:
    started, made = threading.Barrier(8), []

    def make(places: list[int]) -> list[str]:
        made.append(places)
        time.sleep(0.05)
        return ["made"] * len(places)

    def work(number: int) -> None:
        keys = [content_id(bytes([(number + n) % 5])) for n in range(5)]
        started.wait()
        assert cache.recall("engine", keys, TEXT, make) == ["made"] * 5

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(map(len, made)) == 5
    assert not store_module._claims._taken


def test_thread_that_waited_for_a_failure_tries_itself(cache: ContentCache) -> None:
    inside, fail = threading.Event(), threading.Event()

    def failing(places: list[int]) -> list[str]:
        inside.set()
        fail.wait(60)
        raise RuntimeError("no memory")

    def first() -> None:
        with pytest.raises(RuntimeError):
            cache.recall("engine", [KEY], TEXT, failing)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(60)
    threading.Timer(0.05, fail.set).start()
    assert cache.recall("engine", [KEY], TEXT, lambda places: ["made"]) == ["made"]
    thread.join(60)


RACE = """
import sys
from pathlib import Path
import numpy as np
from maia_cache import PICTURE, ContentCache, Picture
from maia_core.image import Image, content_id

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(seed)
def make(places):
    return [Picture(Image.from_pixels(rng.integers(0, 256, (32, 32, 3), np.uint8))) for _ in places]
cache = ContentCache(folder)
print("ready", flush=True)
sys.stdin.readline()
for n in range(60):
    [picture] = cache.recall("engine", [content_id(str(n).encode())], PICTURE, make)
    print(picture.image.id)
"""


def test_processes_that_ask_at_once_get_the_same_pixels(tmp_path: Path) -> None:
    """Each process makes other pixels: whoever is first decides for all."""
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    running = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for n in range(3)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0].split() for process in running]
    assert len(outputs[0]) == 60
    assert outputs[0] == outputs[1] == outputs[2]
    assert not list(tmp_path.rglob(".*")), "nothing half-written is left"


# --- failures ---


def test_what_was_made_before_a_failure_is_kept(cache: ContentCache) -> None:
    keys = [content_id(bytes([n])) for n in range(6)]

    def make(places: list[int]) -> list[str]:
        if 4 in places:
            raise RuntimeError("no memory")
        return [f"text {place}" for place in places]

    with pytest.raises(RuntimeError):
        cache.recall("engine", keys, TEXT, make, step=2)
    assert len(list(cache.entries())) == 4


def test_refusals_are_told_together_and_the_rest_is_made(cache: ContentCache) -> None:
    keys = [content_id(bytes([n])) for n in range(6)]

    def make(places: list[int]) -> list[str]:
        if places[0] in (0, 3):
            raise ToolError(f"'{places[0]}' is not drawn")
        return [f"text {place}" for place in places]

    with pytest.raises(ToolError, match="'0' is not drawn; '3' is not drawn; the other 4 are kept"):
        cache.recall("engine", keys, TEXT, make, step=1)
    assert len(list(cache.entries())) == 4


def test_caches_of_a_run_share_a_folder(tmp_path: Path) -> None:
    context = Context(parts={}, cache=tmp_path)
    shared(context).keep("engine", KEY, "text", TEXT)
    assert shared(Context(parts={}, cache=tmp_path)).find("engine", KEY, TEXT) == "text"
    assert shared(context).folder.parent == tmp_path
