from __future__ import annotations

import json
import os
import shutil
import sys

import pytest
from PIL import Image as PILImage

from maia_core.errors import PluginError, RunError, UnreadableImage, UsageError
from maia_core.testing import DatasetSuite, disc, samples
from maia_datasets.huggingface import HuggingFaceDataset

datasets = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow")

CLASSES = ["tench, Tinca tinca", "goldfish"]


@pytest.fixture
def opened(context):
    return lambda path, **options: HuggingFaceDataset(HuggingFaceDataset.Config(path=str(path), **options), context)


@pytest.fixture
def rows(encoded):
    """Makes a split of discs with labels, or of the given images."""

    def make(*contents):
        images = contents or tuple(encoded(n) for n in range(4))
        columns = {
            "label": [n % 2 for n in range(len(images))],
            "image": [c if c is None or isinstance(c, dict) else {"bytes": c, "path": None} for c in images],
            "caption": [f" image {n} " for n in range(len(images))],
        }
        kinds = {
            "label": datasets.ClassLabel(names=CLASSES),
            "image": datasets.Image(),
            "caption": datasets.Value("string"),
        }
        return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))

    return make


@pytest.fixture
def saved(tmp_path, rows):
    """A folder with two splits."""
    datasets.DatasetDict({"train": rows(), "test": rows().select([2, 0])}).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


class TestHuggingFace(DatasetSuite):
    unreadable = (7, 8)

    @pytest.fixture
    def dataset(self, tmp_path, rows, encoded, opened):
        rows(*map(encoded, samples()), b"no image", None).save_to_disk(tmp_path / "saved")
        return opened(tmp_path / "saved")

    @pytest.fixture
    def twin(self, tmp_path, dataset, opened):
        """The same rows in another form."""
        datasets.load_from_disk(tmp_path / "saved").to_parquet(tmp_path / "other.parquet")
        return opened(tmp_path / "other.parquet", split="train")


def test_order_ids_images_and_labels(saved, opened):
    dataset = opened(saved, split="test")
    assert (dataset.name, dataset.ids) == ("saved/test", ["test/0", "test/1"])
    assert [image.id for image in dataset] == [disc("red", 2).id, disc("red", 0).id]
    assert [opened(saved, split="train").concepts(n) for n in range(2)] == [["tench"], ["goldfish"]]


def test_every_local_form_is_read(tmp_path, rows, opened, encoded):
    rows().to_parquet(tmp_path / "files" / "a-2.parquet")
    rows().select([1]).to_parquet(tmp_path / "files" / "a-10.parquet")
    rows().save_to_disk(tmp_path / "one")
    (arrow,) = (tmp_path / "one").glob("*.arrow")
    for name in ("cat/1.png", "dog/2.png"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True)
        (tmp_path / "folder" / name).write_bytes(encoded(len(name)))
    counts = {"files/a-2.parquet": 4, "files/a-*.parquet": 5, "files": 5, "one": 4, f"one/{arrow.name}": 4, "folder": 2}
    found = {name: opened(tmp_path / name) for name in counts}
    assert {name: len(dataset) for name, dataset in found.items()} == counts
    assert found["files/a-*.parquet"][4].id == disc("red", 1).id
    assert found["folder"].concepts(1) == ["dog"]


def test_nothing_is_written_but_into_the_cache(tmp_path, rows, opened):
    rows().to_parquet(tmp_path / "in" / "x.parquet")
    opened(tmp_path / "in" / "x.parquet")
    assert os.listdir(tmp_path / "in") == ["x.parquet"]
    assert (tmp_path / "cache" / "datasets" / "huggingface").is_dir()


def test_split_has_to_be_chosen_and_a_wrong_one_gets_the_nearest(saved, opened):
    with pytest.raises(UsageError, match=r"has the splits train, test; choose one with dataset\.split"):
        opened(saved)
    with pytest.raises(UsageError, match=r"there is no split 'tset'.*train, test.*Did you mean 'test'"):
        opened(saved, split="tset")


def test_empty_split_is_refused(tmp_path, rows, opened):
    rows().select([]).save_to_disk(tmp_path / "none", num_shards=1)
    with pytest.raises(UsageError, match="is empty"):
        opened(tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_column": "img"}, r"image_column: there is no column 'img' among label.*caption \(string\).*'image'"),
        ({"image_column": "label"}, r"image_column: label holds no images"),
        ({"label_column": "labels"}, r"label_column: there is no column 'labels'.*Did you mean 'label'"),
        ({"label_column": "image"}, r"label_column: image holds neither class labels nor texts"),
        ({"id_column": "label"}, r"id_column: '0' occurs twice in label"),
    ],
)
def test_wrong_column_is_named_with_the_others(saved, opened, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        opened(saved, split="train", **options)
    assert "\n" not in str(caught.value)


def test_columns_can_be_chosen(saved, opened):
    dataset = opened(saved, split="test", label_column="caption", id_column="caption")
    assert (dataset.concepts(0), dataset.ids) == (["image 2"], [" image 2 ", " image 0 "])


def test_images_are_told_from_masks(tmp_path, rows, opened, encoded):
    both = rows().add_column("mask", [{"bytes": encoded(9), "path": None}] * 4, feature=datasets.Image())
    both.save_to_disk(tmp_path / "usual")
    assert opened(tmp_path / "usual")[1].id == disc("red", 1).id
    both.rename_column("image", "photo").save_to_disk(tmp_path / "unusual")
    with pytest.raises(
        UsageError, match=r"several columns hold images; choose one of .*photo \(PIL.*dataset.image_column"
    ):
        opened(tmp_path / "unusual")
    rows().remove_columns("image").save_to_disk(tmp_path / "none")
    with pytest.raises(UsageError, match="no column holds images"):
        opened(tmp_path / "none")


def test_plain_bytes_are_images_where_that_is_said(tmp_path, encoded, opened):
    datasets.Dataset.from_dict({"pixels": [encoded(1), encoded(2)]}).save_to_disk(tmp_path / "plain")
    assert opened(tmp_path / "plain", image_column="pixels")[1].id == disc("red", 2).id


def test_several_labels_and_none(tmp_path, encoded, opened):
    kinds = {"image": datasets.Image(), "tags": datasets.List(datasets.ClassLabel(names=CLASSES))}
    columns = {"image": [{"bytes": encoded(1), "path": None}] * 3, "tags": [[1, 0], [], None]}
    datasets.Dataset.from_dict(columns, features=datasets.Features(kinds)).save_to_disk(tmp_path / "tags")
    dataset = opened(tmp_path / "tags")
    assert [dataset.concepts(n) for n in range(3)] == [["goldfish", "tench"], [], []]


def test_unknown_label_is_none(tmp_path, rows, opened):
    """Test splits on the hub have -1."""
    hidden = rows().remove_columns("label").add_column("label", [-1] * 4, feature=datasets.ClassLabel(names=CLASSES))
    hidden.save_to_disk(tmp_path / "hidden")
    assert opened(tmp_path / "hidden").concepts(0) == []


def _pointing(path, rows, *paths):
    """Writes an Arrow file whose rows name files; the library itself would look for them."""
    table = rows(*({"bytes": None, "path": str(one)} for one in paths)).data.table
    with pyarrow.ipc.new_stream(path, table.schema) as file:
        file.write_table(table)
    return path


def test_files_that_rows_point_to(tmp_path, rows, opened, encoded):
    """They are read where they are regular files of the folder that the user names; nothing is fetched."""
    (tmp_path / "there.png").write_bytes(encoded(5))
    paths = [tmp_path / "there.png", tmp_path / "gone.png", "https://example.com/x.png", tmp_path, "a\nb", "/dev/zero"]
    dataset = opened(_pointing(tmp_path / "rows.arrow", rows, *paths), image_root=tmp_path)
    assert dataset[0].id == disc("red", 5).id
    for index in range(1, len(paths)):
        with pytest.raises(UnreadableImage, match=f"^train/{index}: the data set has no file [^\n]*$"):
            dataset[index]


def test_rows_of_a_stranger_that_name_files_of_this_machine_are_refused_and_counted(
    tmp_path, rows, opened, encoded, warnings
):
    (tmp_path / "private").mkdir()
    for n in range(3):
        (tmp_path / "private" / f"{n}.png").write_bytes(encoded(n))
    private = [tmp_path / "private" / f"{n}.png" for n in range(3)]
    saved = tmp_path / "saved"
    rows(encoded(7)).save_to_disk(saved)
    (saved / "link.png").symlink_to(private[0])
    names = [*private, saved / ".." / "private" / "0.png", saved / "link.png"]
    (arrow,) = saved.glob("*.arrow")
    for path in (_pointing(tmp_path / "rows.arrow", rows, *names), _pointing(arrow, rows, *names).parent):
        warnings.clear()
        dataset = opened(path)
        assert "5 images of" in warnings[0]
        assert "outside of the data set" in warnings[0]
        for index in range(5):
            with pytest.raises(UnreadableImage, match="the data set has no file"):
                dataset[index]


def test_saved_data_set_whose_description_names_another_is_refused(tmp_path, rows, opened, encoded):
    for name in ("own", "private"):
        rows(encoded(1)).save_to_disk(tmp_path / name)
    (secret,) = (tmp_path / "private").glob("*.arrow")
    state = tmp_path / "own" / "state.json"
    state.write_text(
        json.dumps(json.loads(state.read_text()) | {"_data_files": [{"filename": f"../private/{secret.name}"}]})
    )
    with pytest.raises(UsageError, match="names 1 files outside of its folder"):
        opened(tmp_path / "own")


def test_folder_whose_readme_names_files_elsewhere_is_refused(tmp_path, rows, opened, encoded):
    (tmp_path / "private").mkdir()
    rows(encoded(1)).to_parquet(tmp_path / "private" / "0.parquet")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files: {tmp_path}/private/*.parquet\n---\n"
    )
    with pytest.raises(UsageError, match="names 1 files outside of its folder"):
        opened(tmp_path / "own")


def test_decoding_is_ours(tmp_path, rows, opened, encoded):
    """The same limits and the same turning as in every other data set."""
    exif = PILImage.Exif()
    exif[0x0112] = 6
    turned, bomb = PILImage.new("RGB", (8, 4)), PILImage.new("L", (3000, 3000))
    rows(encoded(turned, "JPEG", exif=exif), encoded(bomb)).save_to_disk(tmp_path / "saved")
    dataset = opened(tmp_path / "saved", max_megapixels=1)
    assert (dataset[0].width, dataset[0].height) == (4, 8)
    with pytest.raises(UnreadableImage, match="max_megapixels"):
        dataset[1]


def test_fingerprint_changes_with_images_and_order_and_not_with_labels(tmp_path, rows, opened):
    def made(data, name):
        data.save_to_disk(tmp_path / name)
        return opened(tmp_path / name).fingerprint

    first = made(rows(), "a")
    assert made(rows().remove_columns("caption"), "b") == first
    assert len({first, made(rows().select([1, 0, 2, 3]), "c"), made(rows().select([0, 1]), "d")}) == 3


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone", r"there is no .*gone; set dataset\.path"),
        ("empty", "empty cannot be loaded as a data set: .*doesn't contain any data files"),
        ("junk.parquet", "junk.parquet cannot be loaded as a data set"),
        ("junk.tar", "neither .parquet nor .arrow .*'webdataset'"),
        ("script", "cannot be loaded as a data set: .*scripts are no longer supported"),
        ("torn", "torn cannot be loaded as a data set"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(tmp_path, rows, opened, path, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    (tmp_path / "junk.tar").write_bytes(b"junk")
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text("raise SystemExit('executed')")
    rows().save_to_disk(tmp_path / "torn")
    (tmp_path / "torn" / "state.json").write_text("{")
    with pytest.raises(UsageError, match=message) as caught:
        opened(tmp_path / path)
    assert "\n" not in str(caught.value)


def test_hub_that_may_not_be_asked_is_one_line(opened):
    with pytest.raises(RunError, match="no such data set in the cache, and HF_HUB_OFFLINE forbids asking"):
        opened("someone/something")


@pytest.mark.parametrize("name", ["a/b/c", "no name", "../x", "/etc/none", "~/none", "x.parquet", "a--b"])
def test_what_is_no_name_on_the_hub_never_reaches_it(name, opened):
    with pytest.raises(UsageError):
        opened(name)


def test_revision_of_files_is_refused(saved, opened):
    with pytest.raises(UsageError, match=r"leave dataset\.revision out"):
        opened(saved, split="train", revision="main")


def test_cached_data_set_of_the_hub_is_read_offline(tmp_path, rows, opened, monkeypatch):
    """What an earlier download prepared: the library's own folders, written by the library itself."""
    rows().to_parquet(tmp_path / "x.parquet")
    datasets.load_dataset("parquet", data_files=str(tmp_path / "x.parquet"), cache_dir=str(tmp_path / "made"))
    (info,) = (tmp_path / "made").rglob("dataset_info.json")
    prepared = tmp_path / "hub" / "someone___something" / "default" / "0.0.0" / "0123abcd"
    shutil.copytree(info.parent, prepared)
    (prepared / "parquet-train.arrow").rename(prepared / "something-train.arrow")
    facts = json.loads(info.read_text()) | {"dataset_name": "something", "config_name": "default"}
    (prepared / "dataset_info.json").write_text(json.dumps(facts))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    dataset = opened("someone/something")
    assert (dataset.name, len(dataset), dataset[3].id) == ("something/train", 4, disc("red", 3).id)


def test_missing_package_is_a_line_with_the_command(opened, monkeypatch):
    for name in ("maia_datasets.hub", "maia_datasets.columns"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.delattr(name, raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PluginError, match=r"needs datasets: pip install 'maia-datasets\[huggingface\]'"):
        opened("someone/something")


def test_metadata_of_very_many_levels_is_refused(opened, tmp_path, encoded):
    """The native reader of the library ended the process, signal SIGSEGV."""
    (tmp_path / "a.png").write_bytes(encoded(0))
    (tmp_path / "metadata.jsonl").write_bytes(b'{"file_name": "a.png", "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}\n")
    with pytest.raises(UsageError, match=r"metadata.jsonl has more than 5,000 levels"):
        opened(tmp_path)
