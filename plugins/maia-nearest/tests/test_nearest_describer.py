"""The describer as a whole, in a small world of coloured discs."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.protocols import Describer
from maia_nearest.describer import Nearest

LINE = re.compile(
    r"(nothing stands out|[\w ]+ \(\d\.\d\d\)(, [\w ]+ \(\d\.\d\d\)){0,2})"
    r"(; kind: [^;]+)?(; colours: [^;]+)?(; texture: (smooth|fine|rough))?(; on: [^;]+)?"
    r"(; region: (\d+%|under 1%) of the image, [a-z ]+)?(; also: [^;]+)?"
)


def names(line: str) -> list[str]:
    return re.findall(r"([\w ]+?) \(\d\.\d\d\)", line.split(";")[0])


def test_is_a_describer(nearest) -> None:
    assert isinstance(nearest, Describer)


def test_names_kind_colour_place_and_background(nearest, draw, meadow) -> None:
    (line,) = nearest.describe([draw("jeans", at=(40, 120), radius=30, on=meadow)])
    assert LINE.fullmatch(line), line
    assert names(line)[0] == "jeans"
    assert "kind: clothing" in line
    assert re.search(r"colours: blue \d+%", line)
    assert "on: meadow, green" in line
    assert "of the image, top right" in line


def test_knows_an_object_after_jpeg_at_another_scale(nearest, draw) -> None:
    for name in ("tomato", "lime", "banana", "scarf"):
        encoded = io.BytesIO()
        draw(name, at=(60, 90), radius=24, on=(90, 95, 100)).pil().resize((131, 131)).save(encoded, "JPEG", quality=60)
        (line,) = nearest.describe([Image.from_pil(PILImage.open(encoded))])
        assert name in names(line), line


def test_is_blind_to_title_and_provenance(nearest, draw) -> None:
    image = draw("lime")
    told = Image.from_pixels(image.pixels(), "a scarf", prompt="a scarf", file="scarf.png")
    assert nearest.describe([told]) == nearest.describe([image])
    assert nearest.summarize([told]) == nearest.summarize([image])


def test_mask_decides_which_object_is_described(nearest, draw, meadow) -> None:
    image = draw("jeans", at=(80, 40), on=meadow, more=[("banana", (80, 120), 30)])
    for name, colour, left, place in (("jeans", "blue", 0, "left"), ("banana", "yellow", 80, "right")):
        mask = np.zeros((160, 160), np.bool_)
        mask[60:100, left + 25 : left + 55] = True
        (line,) = nearest.describe([image.masked(mask)])
        assert names(line)[0] == name
        assert f"colours: {colour} 100%" in line
        assert f"region: 5% of the image, {place}" in line


def test_second_object_is_named(nearest, draw) -> None:
    image = draw("jeans", at=(80, 42), radius=34, more=[("banana", (80, 122), 30)])
    (line,) = nearest.describe([image])
    found = names(line)[:1] + re.findall(r"also: ([\w ]+) \(", line)
    assert sorted(found) == ["banana", "jeans"]


def test_empty_mask_says_so(nearest, draw) -> None:
    hidden = draw("lime").masked(np.zeros((160, 160), np.bool_))
    assert nearest.describe([hidden]) == ["nothing is unmasked"]
    assert "nothing is unmasked (1)" in nearest.summarize([hidden])


def test_full_mask_is_no_mask(nearest, draw) -> None:
    image = draw("lime")
    assert nearest.describe([image.masked(np.ones((160, 160), np.bool_))]) == nearest.describe([image])


def test_plain_image_claims_no_object(nearest) -> None:
    (line,) = nearest.describe([Image.from_pixels(np.full((64, 64, 3), (250, 250, 250), np.uint8))])
    assert line == "nothing stands out; on: plain, white"


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (40, 1500)])
def test_any_size_is_described(nearest, shape) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.from_pixels(pixels)
    one = np.zeros(shape, np.bool_)
    one[0, 0] = True
    for line in nearest.describe([image, image.masked(one)]):
        assert LINE.fullmatch(line), line


def test_one_pixel_of_a_huge_image_counts(nearest) -> None:
    image = Image.from_pixels(np.full((2000, 3000, 3), (200, 30, 30), np.uint8))
    mask = np.zeros((2000, 3000), np.bool_)
    mask[1990, 10] = True
    (line,) = nearest.describe([image.masked(mask)])
    assert "colours: red 100%" in line
    assert "region: under 1% of the image, bottom left" in line


def test_result_does_not_depend_on_the_batch(nearest, draw, meadow) -> None:
    images = [draw(name, on=meadow) for name in ("tomato", "lime", "jeans")] * 12
    assert nearest.describe(images) == [nearest.describe([image])[0] for image in images[:3]] * 12


def test_model_sees_many_images_at_once(nearest, draw, model) -> None:
    nearest.describe([draw("lime")])
    before = model.calls
    nearest.describe([draw("lime")] * 16)
    assert model.calls - before == 1


def test_no_images(nearest) -> None:
    assert nearest.describe([]) == []
    assert nearest.summarize([]) == "no images"


def test_summary_counts_images(nearest, draw, meadow) -> None:
    images = [draw("jeans", on=meadow)] * 3 + [draw("banana", on=meadow), draw("lime", on=(40, 40, 200))]
    line = nearest.summarize(images)
    assert line.startswith("common to 5 images: ")
    assert "names: jeans (3)" in line
    assert "kind: clothing (3)" in line
    assert "colours: blue (3)" in line
    assert "meadow (4)" in line


def test_summary_of_one_image(nearest, draw) -> None:
    line = nearest.summarize([draw("jeans")])
    assert line.startswith("common to 1 image: names: jeans (1)")


def test_features_are_computed_once(make, draw, model, tmp_path: Path) -> None:
    first = make(cache=tmp_path).describe([draw("lime")])
    learned = model.calls
    assert make(cache=tmp_path).describe([draw("lime")]) == first
    assert model.calls == learned + 1


@pytest.mark.parametrize("damage", ["truncated", "garbage", "other arrays", "short", "NaN"])
def test_damaged_cache_is_made_anew(make, nearest, draw, shared_cache: Path, tmp_path: Path, damage: str) -> None:
    expected = nearest.describe([draw("lime")])
    name = f"{nearest.fingerprint}.npz"
    file = tmp_path / "nearest" / name
    file.parent.mkdir()
    file.write_bytes((shared_cache / "nearest" / name).read_bytes())
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "garbage":
        file.write_bytes(b"no archive")
    else:
        with np.load(file) as arrays:
            kept = dict(arrays)
        if damage == "other arrays":
            kept = {"views": kept["views"]}
        elif damage == "short":
            kept["views"] = kept["views"][:2]
        else:
            kept["views"] = kept["views"] * np.nan
        with file.open("wb") as handle:
            np.savez(handle, **kept)
    assert make(cache=tmp_path).describe([draw("lime")]) == expected
    assert [path.suffix for path in (tmp_path / "nearest").iterdir()] == [".npz"]


def test_unwritable_cache_is_a_warning(make, draw, tmp_path: Path) -> None:
    (tmp_path / "nearest").write_text("a file where the folder should be")
    warnings: list[str] = []
    assert make(cache=tmp_path, warnings=warnings).describe([draw("lime")])
    assert "cannot keep" in warnings[0]


def test_unreadable_library_image_is_skipped_and_named(make, draw, discs, tmp_path: Path) -> None:
    warnings: list[str] = []
    (line,) = make(cache=tmp_path, library=discs(broken=2), warnings=warnings).describe([draw("tomato")])
    assert names(line)[0] == "tomato"
    assert "lime" not in line
    assert warnings == ["1 images of discs cannot be read and were skipped: lime"]


def test_empty_library_is_refused(make, draw, discs, tmp_path: Path) -> None:
    library = discs()
    library.ids = []
    with pytest.raises(UsageError, match="discs holds no readable image"):
        make(cache=tmp_path, library=library).describe([draw("lime")])


def test_fingerprint_follows_model_library_and_backgrounds(make, model, discs) -> None:
    first = make().fingerprint
    assert make().fingerprint == first
    assert make(library=discs(broken=1)).fingerprint != first
    assert make(backgrounds="").fingerprint != first
    model.fingerprint = "colours-2"
    assert make().fingerprint != first


def test_library_may_have_options(model, discs) -> None:
    library = discs(broken=1)
    context = Context(parts={"model/colours/[]": model, "dataset/discs/[('broken', 1)]": library})
    config = Nearest.Config.model_validate(
        {"model": "colours", "library": {"name": "discs", "broken": 1}, "backgrounds": ""}
    )
    assert Nearest(config, context)._library is library


def test_without_backgrounds_colours_stay(make, draw, meadow, tmp_path: Path) -> None:
    (line,) = make(cache=tmp_path, backgrounds="").describe([draw("jeans", on=meadow)])
    assert "on: green" in line


def test_preparing_shows_how_much_is_done_and_the_cache_spares_it(make, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    make(tmp_path).prepare(lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert {total for _, total in calls} == {calls[-1][0]}, "the last call says that all is done"
    calls.clear()
    make(tmp_path).prepare(lambda done, total: calls.append((done, total)))
    assert not calls
