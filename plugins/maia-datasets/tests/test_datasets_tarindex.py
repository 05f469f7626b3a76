from __future__ import annotations

import gzip
import io
import os
import random
import tarfile

import pytest

from maia_core.errors import UsageError
from maia_datasets import tarindex
from maia_datasets.tarindex import members

LONG = "very/" * 60 + "long.png"
NAMES = ["a.png", "../../etc/passwd.png", "/abs.png", "line\nbreak.png", "über.png", LONG, "b\\s.png"]


@pytest.mark.parametrize(
    "form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT], ids=["pax", "gnu", "ustar"]
)
def test_every_file_is_found_at_its_place(tmp_path, context, tar, form):
    names = [name for name in NAMES if form != tarfile.USTAR_FORMAT or name != LONG]
    archive = tar(tmp_path / "x.tar", [(name, f"content {n}".encode() * n) for n, name in enumerate(names)], form)
    found = members(archive, context)
    assert [place.read() for _, place in found] == [f"content {n}".encode() * n for n in range(len(names))]
    assert [name for name, _ in found][:4] == ["a.png", "../../etc/passwd.png", "/abs.png", "line\\nbreak.png"]
    assert len({name for name, _ in found}) == len(names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "x.tar"], "something was unpacked"


def test_links_are_named_and_folders_and_devices_are_no_files(tmp_path, context):
    """A hard link to an earlier file of the archive is that file; one to a file of this machine is nothing."""
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"x{kind.decode()}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        first = tarfile.TarInfo("first.png")
        first.size = 5
        archive.addfile(first, io.BytesIO(b"bytes"))
        second = tarfile.TarInfo("second.png")
        second.type, second.linkname = tarfile.LNKTYPE, "first.png"
        archive.addfile(second)
    found = dict(members(tmp_path / "x.tar", context))
    assert (found.pop("x2.png"), found.pop("x1.png")) == (None, None)
    assert {name: part.read() for name, part in found.items()} == {"first.png": b"bytes", "second.png": b"bytes"}


def test_headers_are_read_once(tmp_path, context, tar, monkeypatch):
    archive = tar(tmp_path / "x.tar", [("a.png", b"1"), ("über\udcff.png", b"22")])
    before = members(archive, context)
    monkeypatch.setattr(tarindex, "_read_headers", lambda archive: pytest.fail("the headers are read again"))
    assert members(archive, context) == before


def test_changed_archive_is_read_again(tmp_path, context, tar):
    archive = tar(tmp_path / "x.tar", [("a.png", b"1")])
    members(archive, context)
    tar(archive, [("b.png", b"1")])
    os.utime(archive, ns=(1, 1))
    assert [name for name, _ in members(archive, context)] == ["b.png"]


@pytest.mark.parametrize("broken", [b"", b"{", b'[["a.png", "x", 1]]', b'[["a.png", 1]]', b"\xff"])
def test_broken_cache_is_made_again(tmp_path, context, tar, warnings, broken):
    archive = tar(tmp_path / "x.tar", [("a.png", b"1")])
    expected = members(archive, context)
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_bytes(broken)
    assert members(archive, context) == expected
    assert "is made again" in warnings[0]


def test_cache_that_cannot_be_written_is_a_warning(tmp_path, context, tar, warnings):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(members(tar(tmp_path / "x.tar", [("a.png", b"1")]), context)) == 1
    assert "cannot be kept" in warnings[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive" * 100, gzip.compress(b"x" * 9000, mtime=0), b"\0" * 100],
    ids=["empty", "text", "gzip", "zeros"],
)
def test_what_is_no_archive_is_refused_in_one_line(tmp_path, context, content):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.tar is not a sound tar archive without compression") as caught:
        members(tmp_path / "x.tar", context)
    assert "\n" not in str(caught.value)


def test_archive_that_was_cut_off_loses_its_last_file_only(tmp_path, context, tar):
    archive = tar(tmp_path / "x.tar", [("a.png", b"1" * 600), ("b.png", b"2" * 6000)])
    archive.write_bytes(archive.read_bytes()[:4000])
    (_, first), (_, second) = members(archive, context)
    assert first.read() == b"1" * 600
    with pytest.raises(OSError, match="ends before it"):
        second.read()


def _forged(content: bytes, rng: random.Random) -> bytes:
    """Forges fields of headers, with checksums that are right."""
    forged = bytearray(content)
    headers = [at for at in range(0, len(forged) - 512, 512) if forged[at + 257 : at + 262] == b"ustar"]
    for at in rng.sample(headers, 2):
        if rng.random() < 0.5:
            sizes = [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\0", b"-0000000700\0", b"\xff" * 10 + b"\xfd\0"]
            forged[at + 124 : at + 136] = rng.choice(sizes)
        if rng.random() < 0.5:
            forged[at + 156] = rng.choice(b"0123457LKxgSXVMN")
        else:
            forged[at + rng.randrange(500)] = rng.randrange(256)
        forged[at + 148 : at + 156] = b" " * 8
        forged[at + 148 : at + 156] = b"%06o\0 " % sum(forged[at : at + 512])
    return bytes(forged)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_forged_headers_give_sound_places_or_one_line(tmp_path, tar, form):
    """A negative size leads backwards and round for ever; other forgeries make `tarfile` raise what it should not."""
    archive = tar(tmp_path / "sound.tar", [(name, b"x" * 700) for name in NAMES], form)
    sound, known = archive.read_bytes(), tarindex._read_headers(archive)
    rng, read = random.Random(0), 0
    for _ in range(150):
        forged = _forged(sound, rng)
        (tmp_path / "x.tar").write_bytes(forged)
        try:
            found = tarindex._read_headers(tmp_path / "x.tar")
        except UsageError:
            continue
        read += 1
        assert all(m.size >= 0 and (m.offset > 0 or m.offset == tarindex.ELSEWHERE) for m in found)
        first = next(at for at, (a, b) in enumerate(zip(sound, forged, strict=True)) if a != b)
        before = [m for m in known if m.offset <= first]
        assert found[: len(before)] == before, "what stands before the first forgery is as it was"
    assert 30 <= read < 150


def test_name_of_megabytes_is_not_read(tmp_path, tar):
    archive = tar(tmp_path / "x.tar", [("n" * (tarindex.MAX_HEADER + 1) + ".png", b"1")], tarfile.GNU_FORMAT)
    with pytest.raises(UsageError, match="longer than any honest one"):
        tarindex._read_headers(archive)
