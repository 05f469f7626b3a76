import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.context import Context
from maia_core.errors import UnreadableImage, UsageError
from maia_core.exemplars import BruteForce
from maia_core.testing.fakes import FakeSystem, disc
from maia_standard.folder import FolderDataset


def _open(path, **options):
    return FolderDataset(FolderDataset.Config(path=path, **options), Context(parts={}))


@pytest.fixture
def folder(tmp_path):
    for colour in ("red", "blue"):
        (tmp_path / "photos" / colour).mkdir(parents=True)
        for n in range(3):
            disc(colour, n).pil().save(tmp_path / "photos" / colour / f"{n}.png")
    return tmp_path / "photos"


def test_order_ids_and_classes(folder):
    dataset = _open(folder)
    assert dataset.ids == [f"{c}/{n}.png" for c in ("blue", "red") for n in range(3)]
    assert dataset.concepts(0) == ["blue"]
    assert dataset[3].id == disc("red", 0).id
    assert (dataset[3].title, dataset[3].provenance) == ("", {"id": "red/0.png"})


def test_files_that_are_no_images_are_counted_skipped_and_named(folder):
    (folder / "notes.txt").write_text("hello")
    (folder / "torn.png").write_bytes((folder / "red" / "0.png").read_bytes()[:60])
    (folder / "empty.jpg").write_bytes(b"")
    noted = []
    _, statistics = BruteForce(_open(folder), noted.append).exemplars(FakeSystem(), 3)
    assert (statistics.count, statistics.skipped) == (6, 3)
    assert all(name in noted[0] for name in ("3 images", "notes.txt", "torn.png", "empty.jpg"))


def test_image_that_unpacks_to_too_much_is_not_decoded(folder):
    PILImage.new("L", (3000, 3000)).save(folder / "bomb.png")
    dataset = _open(folder, max_megapixels=1)
    with pytest.raises(UnreadableImage, match="max_megapixels"):
        dataset[dataset.ids.index("bomb.png")]


def test_links_and_hidden_files_are_left_out(folder, tmp_path):
    secret = tmp_path / "secret.png"
    disc("green").pil().save(secret)
    (folder / "link.png").symlink_to(secret)
    (folder / ".hidden").mkdir()
    disc("green").pil().save(folder / ".hidden" / "x.png")
    assert len(_open(folder)) == 6


def test_image_is_turned_as_its_exif_says(folder):
    pixels = np.zeros((4, 8, 3), np.uint8)
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.fromarray(pixels).save(folder / "turned.jpg", exif=exif)
    dataset = _open(folder)
    turned = dataset[dataset.ids.index("turned.jpg")]
    assert (turned.width, turned.height) == (4, 8)


def test_changed_file_changes_the_fingerprint(folder):
    before = _open(folder).fingerprint
    assert _open(folder).fingerprint == before
    disc("green").pil().save(folder / "new.png")
    assert _open(folder).fingerprint != before


def test_missing_and_empty_folders_say_what_to_set(tmp_path):
    with pytest.raises(UsageError, match=r"dataset\.path"):
        _open(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is empty"):
        _open(tmp_path)
