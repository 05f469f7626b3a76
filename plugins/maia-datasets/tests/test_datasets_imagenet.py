from __future__ import annotations

import shutil

import numpy as np
import pytest

from maia_core.errors import UsageError
from maia_core.testing import DatasetSuite, samples
from maia_datasets import imagenet_labels
from maia_datasets.imagenet import ImageNetDataset

TENCH, TIGER, STRAWBERRY = "n01440764", "n02129604", "n07745940"
CLASSES = {1: TIGER, 2: TENCH, 3: STRAWBERRY}
"""A development kit numbers its classes in an order of its own."""

TRUTH = [2, 1, 3, 1, 2]
STEMS = [f"ILSVRC2012_val_{n:08d}" for n in range(1, 6)]
KIT = "ILSVRC2012_devkit_t12/data"


@pytest.fixture
def opened(context):
    return lambda path, **options: ImageNetDataset(ImageNetDataset.Config(path=path, **options), context)


@pytest.fixture
def images(encoded):
    """Five images by the stems of their names."""
    return {stem: encoded(image, "JPEG") for stem, image in zip(STEMS, samples(), strict=False)}


def _write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def _kit(root, name="ILSVRC2012_validation_ground_truth.txt"):
    return _write(root, {f"{KIT}/{name}": "".join(f"{n}\n" for n in TRUTH)})


def _meta(root, numbers=(1, 2, 3, 1001)):
    """The development kit's `meta.mat`: the classes, then what is broader, as arrays of structures."""
    io = pytest.importorskip("scipy.io")
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    rows = [(float(n), CLASSES.get(n, "n00001740"), "words, of a class", float(n > 1000)) for n in numbers]
    io.savemat(root / KIT / "meta.mat", {"synsets": np.array(rows, dtype=fields).reshape(-1, 1)})


def _flat(root, images, folder):
    return _write(root, {f"{folder}/{stem}.JPEG": content for stem, content in images.items()})


def _by_class(root, images):
    names = dict(zip(STEMS, TRUTH, strict=True))
    return _write(root, {f"val/{CLASSES[names[stem]]}/{stem}.JPEG": content for stem, content in images.items()})


def _kaggle(root, images):
    rows = [f"{s},{CLASSES[n]} 85 1 499 272 {CLASSES[n]} 1 2 3 4 " for s, n in zip(STEMS, TRUTH, strict=True)]
    _flat(root, images, "ILSVRC/Data/CLS-LOC/val")
    return _write(root, {"LOC_val_solution.csv": "\n".join(["ImageId,PredictionString", *reversed(rows)])})


class TestImageNet(DatasetSuite):
    unreadable = (2,)

    @pytest.fixture
    def dataset(self, tmp_path, images, opened):
        return opened(_by_class(tmp_path / "one", images | {STEMS[2]: b"no image"}))

    @pytest.fixture
    def twin(self, tmp_path, dataset, images, opened):
        """The same images in another layout, without labels."""
        return opened(_flat(tmp_path / "two", images | {STEMS[2]: b"no image"}, "ILSVRC2012_img_val"))


def test_links_that_lead_out_of_the_images_are_left_out_and_counted(tmp_path, images, opened, warnings):
    inside = _by_class(tmp_path / "own", images) / "val"
    _flat(tmp_path, images, "private")
    (inside / "n02129605").symlink_to(tmp_path / "private")
    (inside / TENCH / "secret.JPEG").symlink_to(tmp_path / "private" / f"{STEMS[0]}.JPEG")
    (inside / TENCH / "again.JPEG").symlink_to(inside / TIGER / f"{STEMS[1]}.JPEG")
    assert opened(inside).ids == [*STEMS, "again"]
    assert warnings[0].startswith("2 files in ")


def _names(dataset):
    return [dataset.concepts(index)[0] for index in range(len(dataset))]


NAMES = ["tench", "tiger", "strawberry", "tiger", "tench"]


def test_every_layout_is_the_same_data_set_with_the_same_labels(tmp_path, images, opened, tar):
    pytest.importorskip("scipy")
    original = _kit(_flat(tmp_path / "original", images, "ILSVRC2012_img_val"))
    _meta(original)
    places = [original, original / "ILSVRC2012_img_val", _by_class(tmp_path / "folders", images)]
    places += [tmp_path / "folders" / "val", _kaggle(tmp_path / "kaggle", images)]
    places += [tmp_path / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC" / "val"]
    archive = tar(tmp_path / "tar" / "ILSVRC2012_img_val.tar", [(f"{s}.JPEG", c) for s, c in reversed(images.items())])
    shutil.copytree(original / KIT, tmp_path / "tar" / KIT)
    for place in [*places, archive, archive.parent]:
        dataset = opened(place)
        assert dataset.ids == STEMS, place
        assert _names(dataset) == NAMES, place
        assert dataset.fingerprint == opened(original).fingerprint, place
        assert [image.id for image in dataset] == [image.id for image in opened(original)]


def test_what_else_lies_there_is_left_out(tmp_path, images, opened):
    """A Mac writes a `._` file beside each on a foreign disk."""
    root = _write(
        _by_class(tmp_path, images), {f"val/{TENCH}/._{STEMS[0]}.JPEG": b"", "val/notes.txt": b"", "val/.x": b""}
    )
    assert opened(root).ids == STEMS


def test_broader_concepts_follow_the_class(tmp_path, images, opened):
    dataset = opened(_by_class(tmp_path, images))
    tench, tiger = dataset.concepts(0), dataset.concepts(1)
    assert [c for c in tench if c in ("tench", "fish", "vertebrate", "animal")] == [
        "tench",
        "fish",
        "vertebrate",
        "animal",
    ]
    assert [c for c in tiger if c in ("big cat", "feline", "mammal")] == ["big cat", "feline", "mammal"]
    assert not {"entity", "object", "organism"} & {*tench, *tiger, *dataset.concepts(2)}, "these would name anything"


def test_table_of_classes_is_whole():
    """1,000 classes first, in the order that every ImageNet classifier counts them; no chain is endless."""
    table = imagenet_labels._table()
    wnids = list(table)[:1000]
    assert wnids == sorted(wnids)
    assert [table[wnids[n]][0] for n in (0, 1, 292, 949, 999)] == [
        "tench",
        "goldfish",
        "tiger",
        "strawberry",
        "toilet tissue",
    ]
    assert all(2 <= len(imagenet_labels.concepts(wnid)) <= 16 for wnid in wnids if table[wnid][1])
    assert all(above in table for _, above in table.values() if above)


def test_newer_kit_has_its_classes_as_text(tmp_path, images, opened):
    """No scipy is needed then."""
    root = _kit(_flat(tmp_path, images, "val"), "ILSVRC2015_clsloc_validation_ground_truth.txt")
    rows = "".join(f"{wnid} {number} some_name\n" for number, wnid in CLASSES.items())
    assert _names(opened(_write(root, {f"{KIT}/map_clsloc.txt": rows}))) == NAMES


def test_labels_can_be_named(tmp_path, images, opened):
    labels = _kaggle(tmp_path / "kaggle", images) / "LOC_val_solution.csv"
    far = _flat(tmp_path / "far" / "away", images, "val")
    assert _names(opened(far, labels=labels)) == NAMES


def test_images_without_labels_are_a_data_set_and_say_once_what_is_missing(tmp_path, images, opened, warnings):
    dataset = opened(_flat(tmp_path / "a" / "b" / "c" / "d" / "e", images, "val"))
    assert warnings == []
    assert [list(dataset.concepts(i)) for i in range(5)] == [[]] * 5
    (warning,) = warnings
    assert "dataset.labels" in warning


def test_kit_without_its_class_list_says_what_is_missing(tmp_path, images, opened, warnings):
    opened(_kit(_flat(tmp_path, images, "val"))).concepts(0)
    assert "meta.mat" in warnings[0]


def test_missing_scipy_is_a_line_with_the_command(tmp_path, images, opened, warnings, monkeypatch):
    root = _kit(_flat(tmp_path, images, "val"))
    (root / KIT / "meta.mat").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    opened(root).concepts(0)
    assert "pip install 'maia-datasets[devkit]'" in warnings[0]


def test_image_that_no_label_file_names_has_no_concepts(tmp_path, images, opened, encoded):
    root = _flat(_kaggle(tmp_path, images), {"ILSVRC2012_val_00000009": encoded(1, "JPEG")}, "ILSVRC/Data/CLS-LOC/val")
    assert opened(root).concepts(5) == []


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("LOC_val_solution.csv", "ImageId,PredictionString\nx,n01440764 1 2\ny,dog 1 2", "line 3 has no class"),
        ("LOC_val_solution.csv", "ImageId,PredictionString\nonly one", "line 2 has no class"),
        ("LOC_val_solution.csv", b"\xff\xfe\x00", "UnicodeDecodeError"),
        ("truth.txt", "2\n1\n4\n", "line 3 has no class number"),
        ("truth.txt", "2\n\n4\n", "line 2 has no class number"),
    ],
)
def test_broken_label_file_is_named_with_its_line(tmp_path, images, opened, name, content, cause):
    root = _write(_flat(tmp_path, images, "val"), {name: content, "map_clsloc.txt": "n01440764 2 x\nn02129604 1 y"})
    with pytest.raises(UsageError, match=cause) as caught:
        opened(root, labels=root / name)
    assert "\n" not in str(caught.value)


def test_broken_class_list_is_named(tmp_path, images, opened):
    pytest.importorskip("scipy")
    root = _kit(_flat(tmp_path, images, "val"))
    (root / KIT / "meta.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b"\0" * 200)
    with pytest.raises(UsageError, match=r"meta\.mat beside it is broken"):
        opened(root)


def test_other_folders_are_refused_with_what_to_use(tmp_path, opened, encoded):
    (tmp_path / "imagenet").mkdir()
    with pytest.raises(UsageError, match="Did you mean 'imagenet'"):
        opened(tmp_path / "imagnet")
    with pytest.raises(UsageError, match="use the data set 'folder'"):
        opened(_write(tmp_path / "photos", {"cats/1.txt": b"", "notes.txt": b""}))
    twice = {f"val/{wnid}/1.JPEG": encoded(1, "JPEG") for wnid in (TENCH, TIGER)}
    with pytest.raises(UsageError, match=r"two images in .* are named 1; use the data set 'folder'"):
        opened(_write(tmp_path / "twice", twice))


def test_training_images_work_too(tmp_path, opened, encoded):
    files = {f"train/{wnid}/{wnid}_{n}.JPEG": encoded(n, "JPEG") for wnid in (TENCH, TIGER) for n in (7, 30)}
    dataset = opened(_write(tmp_path, files) / "train")
    assert [dataset.concepts(i)[0] for i in range(4)] == ["tench", "tench", "tiger", "tiger"]
