import os
import random
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.context import Context
from maia_core.errors import UnreadableImage, UsageError
from maia_core.testing import DatasetSuite, FakeSystem, disc, samples
from maia_datasets.encoded import natural
from maia_datasets.folder import FolderDataset
from maia_exemplars import BruteForce


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


class TestFolder(DatasetSuite):
    unreadable = (2, 3)

    @pytest.fixture
    def dataset(self, tmp_path):
        for number, image in enumerate(samples()):
            (tmp_path / "images" / str(number % 2)).mkdir(parents=True, exist_ok=True)
            image.pil().save(tmp_path / "images" / str(number % 2) / f"{number}.png")
        (tmp_path / "images" / "0" / "4.png").write_bytes(b"no image")
        (tmp_path / "images" / "0" / "5.png").write_bytes(b"")
        return _open(tmp_path / "images")

    @pytest.fixture
    def twin(self, dataset, tmp_path):
        """A copy of the files, as on another machine."""
        shutil.copytree(tmp_path / "images", tmp_path / "copy", copy_function=shutil.copyfile)
        return _open(tmp_path / "copy")


def test_numbers_in_names_count(tmp_path):
    names = ["10.png", "2.png", "1.png", "a10/1.png", "a9/1.png", "a9/01.png", "a 1/1.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        disc("red").pil().save(tmp_path / name)
    expected = ["1.png", "2.png", "10.png", "a9/01.png", "a9/1.png", "a10/1.png", "a 1/1.png"]
    assert _open(tmp_path).ids == expected


def test_order_is_one_of_any_names():
    """Digits beside letters, in front, or far too many of them."""
    names = ["1", "a", "1a", "a1", "", "01", "9" * 5000, "a1b2", "a1b10", "é1", "1é"]
    expected = sorted(names, key=natural)
    for seed in range(20):
        random.Random(seed).shuffle(names)
        assert sorted(names, key=natural) == expected


def test_hostile_names_become_ids_on_one_line_and_are_read(tmp_path):
    names = [b"a\nb.png", b"\xff\xfe.png", b"back\\slash.png", "über-\U0001f9a6.png".encode(), b"%s.png", b"~.png"]
    names += ["\u202egnp.exe".encode(), b"a\\nb.png", b"-rf"]
    for n, name in enumerate(names):
        disc("red", n).pil().save(tmp_path / "made.png")
        os.rename(tmp_path / "made.png", os.path.join(os.fsencode(tmp_path), name))
    dataset = _open(tmp_path)
    assert len(set(dataset.ids)) == len(names)
    assert all(name.isprintable() and name.encode() for name in dataset.ids)
    assert len({dataset[i].id for i in range(len(names))}) == len(names)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipe_does_not_hang(folder):
    os.mkfifo(folder / "pipe.png")
    assert len(_open(folder)) == 6


def test_links_and_pipes_are_counted_and_named(folder, tmp_path, context, warnings):
    (folder / "a.png").symlink_to(tmp_path / "elsewhere.png")
    os.mkfifo(folder / "b.png")
    FolderDataset(FolderDataset.Config(path=folder), context)
    assert warnings[0].startswith(f"2 files or folders in {folder} are links or no regular files")
    assert "a.png first" in warnings[0]


def test_links_are_followed_where_that_is_asked_for_and_circles_end(folder, tmp_path):
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "circle").symlink_to(tmp_path / "farm")
    (tmp_path / "farm" / "red").symlink_to(folder / "red")
    (tmp_path / "farm" / "one.png").symlink_to(folder / "blue" / "0.png")
    (tmp_path / "farm" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UsageError, match=r"dataset\.follow_links=true"):
        _open(tmp_path / "farm")
    assert _open(tmp_path / "farm", follow_links=True).ids == ["one.png", "red/0.png", "red/1.png", "red/2.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_image_is_turned_as_its_exif_says(folder, orientation, suffix):
    """A bright corner that is at the top left when the image is upright."""
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255
    turns = [lambda p: p, np.fliplr, lambda p: p[::-1, ::-1], np.flipud, np.transpose]
    turns += [np.rot90, lambda p: np.transpose(p[::-1, ::-1]), lambda p: np.rot90(p, -1)]
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    stored = PILImage.fromarray(np.ascontiguousarray(turns[orientation - 1](upright)))
    stored.convert("RGB").save(folder / f"turned.{suffix}", exif=exif, **({} if suffix == "tiff" else {"quality": 95}))
    dataset = _open(folder)
    pixels = dataset[dataset.ids.index(f"turned.{suffix}")].pixels()
    assert pixels.shape == (16, 32, 3)
    assert np.abs(pixels[:, :, 0].astype(int) - upright).max() < 60


def test_broken_exif_data_does_not_cost_the_image(folder):
    PILImage.new("RGB", (8, 4), "red").save(folder / "odd.jpg", exif=b"Exif\0\0no exif at all")
    dataset = _open(folder)
    assert dataset[dataset.ids.index("odd.jpg")].width == 8


def _ramp(mode, suffix):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    if mode == "I;16":
        return PILImage.fromarray(grey.astype(np.uint16) * 257)
    if mode == "CMYK":
        return PILImage.merge("CMYK", [PILImage.fromarray(255 - grey)] * 3 + [PILImage.new("L", (16, 16))])
    if mode == "transparent":
        return PILImage.merge("LA", [PILImage.new("L", (16, 16), 0), PILImage.fromarray(255 - grey)])
    return PILImage.fromarray(grey).convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *(("I;16", s) for s in ("png", "tiff", "pgm")),
        *(("CMYK", s) for s in ("jpg", "tiff")),
        *(("transparent", s) for s in ("png", "tiff")),
        *(("P", s) for s in ("png", "gif", "bmp")),
        *(("L", s) for s in ("png", "jpg", "pgm")),
    ],
)
def test_every_kind_of_pixel_becomes_the_same_ramp(folder, mode, suffix):
    """16 bits are cut to 8 instead of clipped to white; inks, palettes and what shines through white come out right."""
    _ramp(mode, suffix).save(folder / f"ramp.{suffix}", **({"quality": 100} if suffix == "jpg" else {}))
    dataset = _open(folder)
    pixels = dataset[dataset.ids.index(f"ramp.{suffix}")].pixels()
    assert np.abs(pixels.astype(int) - np.arange(256).reshape(16, 16, 1)).max() <= 3


def test_pixels_without_a_range_are_refused_with_a_reason(folder):
    PILImage.fromarray(np.linspace(0, 1e6, 64, dtype=np.float32).reshape(8, 8)).save(folder / "depth.tiff")
    dataset = _open(folder)
    with pytest.raises(UnreadableImage, match=r"depth\.tiff: pixels of mode F have no known range"):
        dataset[dataset.ids.index("depth.tiff")]


def test_large_photograph_is_reduced_only_where_that_is_asked_for(folder):
    PILImage.linear_gradient("L").resize((800, 600)).save(folder / "large.jpg")
    whole, reduced = _open(folder), _open(folder, jpeg_side=224)
    index = whole.ids.index("large.jpg")
    assert (whole[index].width, reduced[index].width, reduced[index].height) == (800, 400, 300)
    assert whole.fingerprint != reduced.fingerprint


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tiff", "webp", "bmp", "ppm"])
def test_damaged_file_is_unreadable_and_nothing_else(folder, suffix):
    """Whatever a decoder raises, it must not end the run, and `IndexError` would end a loop over the data set."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    PILImage.fromarray(noise).save(folder / f"sound.{suffix}")
    sound = (folder / f"sound.{suffix}").read_bytes()
    rng = random.Random(0)
    for n in range(60):
        broken = bytearray(sound[: rng.randrange(1, len(sound))] if n % 3 == 0 else sound)
        for _ in range(8):
            broken[rng.randrange(min(len(broken), 120))] = rng.randrange(256)
        (folder / f"broken{n}.{suffix}").write_bytes(broken)
    dataset = _open(folder)
    for index in range(len(dataset)):
        try:
            dataset[index].pixels()
        except UnreadableImage as error:
            assert dataset.ids[index] in str(error)  # noqa: PT017


def test_reading_in_threads_leaves_the_warnings_filters_alone(folder):
    """`warnings.catch_warnings` in two threads leaves the one's filters to everybody."""
    dataset = _open(folder)
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: dataset[n % 6], range(400)))
    assert warnings.filters == before


def test_fingerprint_is_that_of_the_images_wherever_and_whenever_they_were_copied(folder, tmp_path):
    before = _open(folder).fingerprint
    os.utime(folder / "red" / "0.png", (0, 0))
    assert _open(folder).fingerprint == before
    shutil.move(folder, tmp_path / "elsewhere")
    assert _open(tmp_path / "elsewhere").fingerprint == before


def test_fingerprint_changes_with_each_change(folder):
    seen = {_open(folder).fingerprint}
    disc("green").pil().save(folder / "new.png")
    seen.add(_open(folder).fingerprint)
    changed = bytearray((folder / "new.png").read_bytes())
    changed[-1] ^= 1
    (folder / "new.png").write_bytes(changed)
    seen.add(_open(folder).fingerprint)
    (folder / "new.png").rename(folder / "newer.png")
    seen.add(_open(folder).fingerprint)
    (folder / "newer.png").unlink()
    seen.add(_open(folder).fingerprint)
    assert len(seen) == 4


def test_missing_and_empty_folders_say_what_to_set(tmp_path):
    with pytest.raises(UsageError, match=r"dataset\.path"):
        _open(tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="Did you mean 'photos'"):
        _open(tmp_path / "fotos")
    with pytest.raises(UsageError, match="is empty"):
        _open(tmp_path / "photos")
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file"):
        _open(tmp_path / "one.png")
