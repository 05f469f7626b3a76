from __future__ import annotations

import json
import os
import shutil

import pytest
from PIL import Image as PILImage

from maia_core.errors import UnreadableImage, UsageError
from maia_core.testing import DatasetSuite, disc, samples
from maia_datasets.shards import expanded, shards
from maia_datasets.webdataset import WebDataset, distinct


@pytest.fixture
def opened(context):
    return lambda path, **options: WebDataset(WebDataset.Config(path=str(path), **options), context)


class TestWebDataset(DatasetSuite):
    unreadable = (1, 2)

    @pytest.fixture
    def dataset(self, tmp_path, tar, encoded, opened):
        files = [("0.png", b"no image"), ("1.jpg", b"")]
        files += [(f"{n}.png", encoded(image)) for n, image in enumerate(samples(), 2)]
        tar(tmp_path / "shards" / "data-0.tar", [("a.png", encoded(1)), *files[:4]])
        tar(tmp_path / "shards" / "data-1.tar", files[4:])
        return opened(tmp_path / "shards")

    @pytest.fixture
    def twin(self, dataset, tmp_path, opened):
        """A copy of the shards, as on another machine."""
        shutil.copytree(tmp_path / "shards", tmp_path / "copy", copy_function=shutil.copyfile)
        return opened(tmp_path / "copy" / "data-{0..1}.tar")


def test_order_ids_and_images(tmp_path, tar, encoded, opened):
    """Shards in natural order, samples in that of the shard; ids are unique where keys are not."""
    for shard in (10, 9):
        tar(tmp_path / f"s-{shard}.tar", [(f"{k}.png", encoded(10 * shard + k)) for k in (3, 1)])
    dataset = opened(tmp_path)
    assert dataset.ids == ["s-9/3", "s-9/1", "s-10/3", "s-10/1"]
    assert [dataset[i].id for i in range(4)] == [disc("red", n).id for n in (93, 91, 103, 101)]


def test_shards_of_several_folders_keep_their_folders_in_the_ids(tmp_path, tar, encoded, opened):
    for folder in ("train", "val"):
        tar(tmp_path / folder / "0.tar", [("k.png", encoded(1))])
    assert opened(tmp_path / "{val,train}" / "0.tar").ids == ["val/0/k", "train/0/k"]


def test_sample_is_what_follows_each_other_under_one_key(tmp_path, tar, encoded, opened):
    """A folder belongs to the key, dots after the first to the ending; no image, no sample."""
    one, two, three = (encoded(n) for n in (1, 2, 3))
    files = [("v1.0/a.seg.png", two), ("v1.0/a.JPG", one), ("b.png", two), ("c.txt", b"no image"), ("a.png", three)]
    files += [(".hidden.png", one), ("noending", one), ("b.png", one), ("b.png", two)]
    tar(tmp_path / "s.tar", files)
    dataset = opened(tmp_path / "s.tar")
    assert dataset.ids == ["s/v1.0/a", "s/b", "s/a", "s/b#2", "s/b#3"]
    expected = [disc("red", n).id for n in (1, 2, 3, 1, 2)]
    assert [dataset[i].id for i in range(5)] == expected
    assert [image.id for image in opened(tmp_path / "s.tar", image="seg.png")] == [disc("red", 2).id]


def test_no_image_vanishes_from_names_with_dots(tmp_path, tar, encoded, opened, warnings):
    """`22.05.png` is not a second file of `22`, and both sides of a stereo pair are images."""
    names = ["a.png", "22.04.png", "22.05.PNG", "v1.0/2.left.png", "v1.0/2.right.png", "v1.0/2.json"]
    tar(tmp_path / "s.tar", [(name, encoded(n)) for n, name in enumerate(names)])
    dataset = opened(tmp_path / "s.tar")
    assert dataset.ids == ["s/a", "s/22.04", "s/22.05", "s/v1.0/2.left", "s/v1.0/2.right"]
    assert [image.id for image in dataset] == [disc("red", n).id for n in range(5)]
    assert warnings == []


def test_files_that_are_left_out_are_counted_and_the_first_is_named(tmp_path, tar, encoded, opened, warnings):
    tar(
        tmp_path / "s.tar",
        [("a.png", encoded(1)), ("a.cls", b"1"), ("b.jpg", encoded(2)), ("b.seg.png", encoded(3)), ("c.heic", b"")],
    )
    opened(tmp_path / "s.tar", label="cls")
    assert warnings[0].startswith(f"2 files in {tmp_path}/s.tar are not in the data set")
    assert "The first is s/b.seg.png" in warnings[0]
    assert warnings[1] == f"1 of 2 samples in {tmp_path}/s.tar have no .cls, so no label"


def test_folder_that_holds_compressed_shards_too_is_not_read_in_part(tmp_path, tar, encoded, opened):
    tar(tmp_path / "0.TAR", [("a.png", encoded(1))])
    (tmp_path / "1.tar.gz").touch()
    with pytest.raises(UsageError, match=r"also holds 1\.tar\.gz; unpack it to \.tar"):
        opened(tmp_path)
    (tmp_path / "1.tar.gz").unlink()
    assert opened(tmp_path).ids == ["0/a"]


def test_ids_that_repeat_never_meet_another():
    names = ["a", "a#2", "a", "a", "a#3", "b"]
    assert distinct(names) == ["a", "a#2", "a#4", "a#5", "a#3", "b"]
    assert len(set(distinct(names))) == len(names)


def test_hostile_names_are_ids_and_no_files(tmp_path, tar, encoded, opened):
    names = ["../../evil.png", "/etc/evil.png", "line\nbreak.png", "\u202egnp.png", "über \U0001f9a6.png", "%s{0}.png"]
    tar(tmp_path / "in" / "s.tar", [(name, encoded(n)) for n, name in enumerate(names)])
    dataset = opened(tmp_path / "in")
    assert dataset.ids[:3] == ["s/../../evil", "s//etc/evil", "s/line\\nbreak"]
    assert all(name.isprintable() for name in dataset.ids)
    assert [image.id for image in dataset] == [disc("red", n).id for n in range(len(names))]
    assert not list(tmp_path.rglob("*evil*"))


def test_torn_shard_loses_its_last_image_only(tmp_path, tar, encoded, opened):
    archive = tar(tmp_path / "s.tar", [("a.png", encoded(1)), ("b.bmp", encoded(2, "BMP"))])
    archive.write_bytes(archive.read_bytes()[:3000])
    dataset = opened(archive)
    assert dataset[0].width
    with pytest.raises(UnreadableImage, match=r"s/b: the file ends before it"):
        dataset[1]


def test_image_that_unpacks_to_too_much_is_refused(tmp_path, tar, encoded, opened):
    tar(tmp_path / "s.tar", [("bomb.png", encoded(PILImage.new("L", (3000, 3000))))])
    with pytest.raises(UnreadableImage, match="max_megapixels"):
        opened(tmp_path / "s.tar", max_megapixels=1)[0]


def test_fingerprint_changes_with_images_and_their_order_and_not_with_labels(tmp_path, tar, encoded, opened):
    def made(*files):
        return opened(tar(tmp_path / "s.tar", files)).fingerprint

    a, b = ("a.png", encoded(1)), ("b.png", encoded(2))
    seen = [made(a, b), made(b, a), made(a), made(a, ("b.png", b[1][:-1] + b"x"))]
    assert len(set(seen)) == len(seen)
    assert made(a, ("a.cls", b"1"), b) == seen[0]


@pytest.mark.parametrize(
    ("ending", "content", "options", "expected"),
    [
        ("cls", b"1\n", {"label": "cls", "classes": True}, ["goldfish"]),
        ("cls", b"tench", {"label": "cls"}, ["tench"]),
        ("txt", b"\xef\xbb\xbftench", {"label": "txt"}, ["tench"]),
        ("txt", " ein süßer Tiger \n".encode(), {"label": "txt"}, ["ein süßer Tiger"]),
        ("json", json.dumps({"label": 0}).encode(), {"label": "json:label", "classes": True}, ["tench"]),
        ("json", json.dumps({"tags": ["cat", None, "pet"]}).encode(), {"label": "json:tags"}, ["cat", "pet"]),
        ("json", b"{}", {}, []),
        ("npy", b"", {"label": "cls"}, []),
    ],
)
def test_labels(tmp_path, tar, encoded, opened, ending, content, options, expected):
    (tmp_path / "classes.txt").write_text("tench\ngoldfish\n")
    options = options | ({"classes": tmp_path / "classes.txt"} if options.get("classes") else {})
    tar(tmp_path / "s.tar", [("a.png", encoded(1)), (f"a.{ending}", content)])
    assert opened(tmp_path / "s.tar", **options).concepts(0) == expected


@pytest.mark.parametrize(
    ("content", "label", "cause"),
    [
        (b"{", "json:label", "cannot be read"),
        (b"[" * 100_000, "json:label", "cannot be read"),
        (b'{"name": 1}', "json:label", "KeyError: 'label'"),
        (b"\xff\xfe", "json:label", "cannot be read"),
        (b'{"label": 7}', "json:label", r"class 7 has no name; set dataset\.classes"),
        (b" " * (1 << 21), "json:label", "it has 2,097,152 bytes"),
    ],
)
def test_label_that_cannot_be_used_is_named(tmp_path, tar, encoded, opened, content, label, cause):
    tar(tmp_path / "s.tar", [("a.png", encoded(1)), ("a.json", content)])
    with pytest.raises(UsageError, match=cause) as caught:
        opened(tmp_path / "s.tar", label=label).concepts(0)
    assert "\n" not in str(caught.value)


def test_shards_of_a_pattern(tmp_path):
    for name in ("d-008.tar", "d-009.tar", "d-010.tar", "e-1.tar", "e[1].tar"):
        (tmp_path / name).touch()
    assert [p.name for p in shards(f"{tmp_path}/d-{{008..010}}.tar")] == ["d-008.tar", "d-009.tar", "d-010.tar"]
    assert [p.name for p in shards(f"{tmp_path}/{{e,d}}-*.tar")] == ["e-1.tar", "d-008.tar", "d-009.tar", "d-010.tar"]
    assert [p.name for p in shards(f"{tmp_path}/e[1].tar")] == ["e[1].tar"]
    assert list(expanded("{9..11}{a,b}")) == ["9a", "9b", "10a", "10b", "11a", "11b"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("d-{000..003}.tar", r"2 of 4 shards of .* are missing or not files, .*d-002\.tar is the first"),
        ("d-{3..1}.tar", "stand for 0 shards"),
        ("d-{0..999999999999}.tar", "stand for 1,000,000,000,000 shards"),
        ("d-{0..9999}{0..9999}.tar", "stand for 100,000,000 shards"),
        ("x*.tar", "holds no tar archive"),
        ("d-00.tar", r"there is no .*d-00\.tar; set dataset\.path .* Did you mean 'd-00"),
        ("empty", "holds no tar archive"),
        ("piped", "1 of 1 shards of .* missing or not files"),
        ("piped/pipe.tar", r"pipe\.tar is a pipe or a device; set dataset\.path"),
    ],
)
def test_shards_that_are_not_there_are_named(tmp_path, path, message):
    (tmp_path / "piped").mkdir()
    os.mkfifo(tmp_path / "piped" / "pipe.tar")
    for name in ("d-000.tar", "d-001.tar"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        shards(f"{tmp_path}/{path}")


@pytest.mark.parametrize("path", ["https://example.com/d-{0..1}.tar", "pipe:cat x.tar", "s3://bucket/d.tar"])
def test_nothing_is_fetched(path):
    with pytest.raises(UsageError, match="fetch them first"):
        shards(path)


def test_shards_without_images_say_what_they_hold(tmp_path, tar, opened):
    tar(tmp_path / "s.tar", [("a.npy", b"1"), ("a.json", b"{}"), ("b.npy", b"2")])
    with pytest.raises(UsageError, match=r"hold \.npy, \.json, and no image; set dataset\.image"):
        opened(tmp_path)
    with pytest.raises(UsageError, match="hold nothing"):
        opened(tar(tmp_path / "t.tar", []))


def test_json_label_needs_its_field(tmp_path, tar, encoded, opened):
    tar(tmp_path / "s.tar", [("a.png", encoded(1))])
    with pytest.raises(UsageError, match="json:label"):
        opened(tmp_path, label="json")
