"""What all data sets share: decoding, ids, fingerprints, the distribution."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.errors import UnreadableImage
from maia_core.testing import DistributionSuite
from maia_datasets.decode import MAX_BYTES, ImageOptions, decode, keep_quiet
from maia_datasets.encoded import EncodedImages, fingerprint, printable
from maia_datasets.folder import FolderDataset
from maia_datasets.stored import FilePart, StoredImages
from maia_datasets.webdataset import WebDataset


class TestDistribution(DistributionSuite):
    distribution = "maia-datasets"


def _odd_files(encoded):
    """Files that a careless decoder gets wrong: depth, inks, palettes, transparency, orientation, size, damage."""
    grey = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    colour = PILImage.fromarray(np.random.default_rng(0).integers(0, 255, (16, 20, 3), dtype=np.uint8))
    exif = PILImage.Exif()
    exif[0x0112] = 8
    files = [encoded(PILImage.fromarray(grey), form) for form in ("PNG", "TIFF", "PPM")]
    files += [encoded(colour.convert(mode), form) for mode, form in (("CMYK", "JPEG"), ("P", "GIF"), ("1", "BMP"))]
    files += [encoded(colour.convert("RGBA"), "WEBP", lossless=True), encoded(colour, "JPEG", exif=exif)]
    files += [encoded(colour.resize((900, 700)), "JPEG"), encoded(colour, "JPEG", exif=b"Exif\0\0no")]
    files += [encoded(PILImage.new("F", (4, 4)), "TIFF"), encoded(PILImage.new("1", (9000, 9000)), "PNG")]
    return [*files, b"", b"no image", encoded(colour)[:200]]


@pytest.mark.parametrize("options", [{}, {"jpeg_side": 224}], ids=["whole", "reduced"])
def test_a_file_is_decoded_as_the_data_set_folder_does(tmp_path, encoded, tar, context, options):
    """So an image is the same image wherever it lies."""
    files = _odd_files(encoded)
    (tmp_path / "folder").mkdir()
    for number, content in enumerate(files):
        (tmp_path / "folder" / f"{number}.jpg").write_bytes(content)
    tar(tmp_path / "s.tar", [(f"{number}.jpg", content) for number, content in enumerate(files)])
    one = FolderDataset(FolderDataset.Config(path=tmp_path / "folder", **options), context)
    other = WebDataset(WebDataset.Config(path=str(tmp_path / "s.tar"), **options), context)
    assert [_outcome(one, n) for n in range(len(files))] == [_outcome(other, n) for n in range(len(files))]


def _outcome(dataset, index):
    try:
        return dataset[index].id
    except UnreadableImage as error:
        return str(error).removeprefix(dataset.ids[index])


def test_whatever_a_decoder_raises_is_an_unreadable_image(encoded):
    keep_quiet()
    noise = PILImage.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8))
    rng = random.Random(0)
    for form in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"):
        for _ in range(60):
            broken = bytearray(encoded(noise, form))
            for _ in range(8):
                broken[rng.randrange(min(len(broken), 120))] = rng.randrange(256)
            try:
                decode(bytes(broken), "name", ImageOptions()).pixels()
            except UnreadableImage as error:
                assert str(error).startswith("name")  # noqa: PT017


def test_file_of_gigabytes_is_not_read(tmp_path):
    """A sparse file says that it has a terabyte."""
    (tmp_path / "huge.png").touch()
    huge = StoredImages("x", ["huge"], [FilePart(str(tmp_path / "huge.png"), 0, MAX_BYTES + 1)], ImageOptions())
    with pytest.raises(UnreadableImage, match="more than an image may have"):
        huge[0]


class _Counted(EncodedImages):
    """A data set of small images that counts what is read."""

    def __init__(self, contents, ids=None):
        self.contents, self.reads = contents, 0
        super().__init__("x", ids or [str(n) for n in range(len(contents))], list(map(len, contents)), ImageOptions())

    def encoded(self, index):
        self.reads += 1
        return self.contents[index]


def test_fingerprint_of_a_large_set_reads_a_part_of_it(monkeypatch):
    monkeypatch.setattr("maia_datasets.encoded.SAMPLE_BYTES", 1000)
    small, large = _Counted([b"x" * 10] * 90), _Counted([b"x" * 10] * 1000)
    assert (small.reads, large.reads) == (90, 100)
    assert _Counted([b"x" * 10] * 999).fingerprint != large.fingerprint
    assert _Counted([b"x" * 10] * 998 + [b"x" * 9, b"x" * 11]).fingerprint != large.fingerprint


def test_fingerprint_tells_ids_sizes_and_contents_apart():
    made = [_Counted([b"ab", b"c"]), _Counted([b"a", b"bc"]), _Counted([b"c", b"ab"]), _Counted([b"ab", b"d"])]
    made += [_Counted([b"ab", b"c"], ids=["0", "2"])]
    assert len({dataset.fingerprint for dataset in made}) == len(made)
    options = [ImageOptions(), ImageOptions(jpeg_side=224), ImageOptions(max_megapixels=1)]
    assert len({fingerprint(["0"], [1], lambda index: b"a", option) for option in options}) == 3


def test_names_stay_apart_when_they_are_made_printable():
    names = ["a\nb", "a\\nb", "a\\\\nb", "a\udcffb", "a\\udcffb", "\u202eab", "über 🦦", "a b", "\x00", "\\x00"]
    assert len({printable(name) for name in names}) == len(names)
    assert all(printable(name).isprintable() for name in names)
    assert printable("über 🦦/1.png") == "über 🦦/1.png"
