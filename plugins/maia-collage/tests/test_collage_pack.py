from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage
from PIL import ImageDraw

from maia_collage import debian
from maia_collage.build import build_photographs, ready
from maia_collage.command import collage
from maia_collage.fetch import fetch
from maia_collage.pack import Pack, find, folder_of
from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.plugin import RunConfig
from maia_labels.vocabulary import vocabulary

DATA = Path(__file__).parents[1] / "src" / "maia_collage" / "data"


def data(name: str) -> dict[str, dict[str, str]]:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def no_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian.shutil, "which", lambda command: None)


def test_holds_the_reviewed_stamps_and_backgrounds_only(pack: Pack) -> None:
    stamps = {c.id for c in pack.cutouts.values() if c.concept != "leash"}
    assert stamps <= set(data("stamps")["cutouts"])
    assert len(stamps) == 15
    assert list(pack.photographs) == ["ocean waves"]


def test_cutout_is_cropped_to_what_is_visible(pack: Pack) -> None:
    tiger = pack.cutout("animals/mammals/cats/tiger")
    assert (tiger.width, tiger.height) == (121, 71)
    alpha = np.asarray(pack.picture(tiger))[:, :, 3]
    assert alpha.any(0).all()
    assert alpha.any(1).all()


def test_transparent_pixels_leave_no_colour_behind(pack: Pack) -> None:
    """The magenta under the transparent margin must not shine through soft edges."""
    premultiplied = np.asarray(pack.picture(pack.cutout("animals/birds/crow")))
    assert premultiplied[:, :, :3].max() < 60


def test_leashes_are_painted_for_every_pack(pack: Pack) -> None:
    """Neither source has one, and the paper's `dog | leash` needs it."""
    leashes = pack.members("leash")
    assert len({leash.digest for leash in leashes}) == len(leashes) == 6
    assert {next(iter(leash.colours)) for leash in leashes} >= {"red", "blue", "black", "brown"}
    for leash in leashes:
        alpha = np.asarray(pack.picture(leash))[:, :, 3]
        assert max(alpha.shape) == 320
        assert 0.1 < (alpha > 128).mean() < 0.5
        # The strap is whole, and the hook hangs on it: one piece.
        piece = PILImage.fromarray((alpha > 128).astype(np.uint8)).copy()
        rows, columns = np.nonzero(alpha > 128)
        ImageDraw.floodfill(piece, (int(columns[rows.size // 2]), int(rows[rows.size // 2])), 2)
        assert (np.asarray(piece) == 1).sum() < 20


def test_colours_are_measured(pack: Pack) -> None:
    assert next(iter(pack.cutout("food/fruit/apple_red").colours)) == "red"
    assert next(iter(pack.cutout("vehicles/auto/sedan").colours)) == "blue"
    assert pack.cutout("food/fruit/apple_red").round
    assert not pack.cutout("food/fruit/banana").round


def test_every_concept_of_the_data_files_is_in_the_tree() -> None:
    words = vocabulary()
    for concept in [*data("stamps")["cutouts"].values(), *data("drawings").values()]:
        assert concept in words.concepts, concept
    for kind in data("backgrounds")["photographs"].values():
        assert kind in words.kinds, kind


def test_no_file_is_both_used_and_rejected() -> None:
    stamps = data("stamps")
    assert not set(stamps["cutouts"]) & set(stamps["rejected"])
    assert len(stamps["cutouts"]) > 330


def test_pack_that_is_there_is_not_built_again(cache: Path, no_apt: None) -> None:
    lines: list[str] = []
    before = (folder_of("photographs", cache) / "pack.json").stat().st_mtime_ns
    fetch(cache, "photographs", False, lines.append)
    assert (folder_of("photographs", cache) / "pack.json").stat().st_mtime_ns == before
    assert len(lines) == 1
    assert "there already" in lines[0]


def test_building_again_gives_the_same_pack_and_leaves_nothing_behind(debian_tree: Path, tmp_path: Path) -> None:
    first = build_photographs(debian_tree, tmp_path).fingerprint
    assert build_photographs(debian_tree, tmp_path).fingerprint == first
    assert os.listdir(tmp_path / "collage") == [folder_of("photographs", tmp_path).name]


def test_build_that_fails_leaves_the_old_pack(debian_tree: Path, tmp_path: Path) -> None:
    old = build_photographs(debian_tree, tmp_path)
    with pytest.raises(UsageError, match="no cut-outs"):
        build_photographs(tmp_path / "nothing", tmp_path)
    assert ready("photographs", tmp_path) is not None
    assert os.listdir(tmp_path / "collage") == [old.folder.name]


def test_broken_stamp_is_named(debian_tree: Path, tmp_path: Path) -> None:
    shutil.copytree(debian_tree, tmp_path / "tree")
    file = tmp_path / "tree/usr/share/tuxpaint/stamps/food/fruit/banana.png"
    file.write_bytes(file.read_bytes()[:90])
    with pytest.raises(UsageError, match="banana"):
        build_photographs(tmp_path / "tree", tmp_path)


def test_missing_pack_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="maia collage fetch"):
        find("", tmp_path)
    with pytest.raises(UsageError, match="--drawings"):
        find("drawings", tmp_path)
    with pytest.raises(UsageError, match="no pack in"):
        find(str(tmp_path), tmp_path)


def damage_manifest(folder: Path) -> None:
    (folder / "pack.json").write_text('{"format": 2, "kind"')


def damage_names(folder: Path) -> None:
    text = (folder / "pack.json").read_text().replace('"tiger"', '"snark"')
    (folder / "pack.json").write_text(text)


def damage_format(folder: Path) -> None:
    (folder / "pack.json").write_text((folder / "pack.json").read_text().replace('"format": 2', '"format": 99'))


def damage_picture(folder: Path) -> None:
    (folder / "animals-mammals-cats-tiger.png").write_bytes(b"no picture")


def lose_picture(folder: Path) -> None:
    (folder / "animals-mammals-cats-tiger.png").unlink()


def show_tiger(folder: Path) -> None:
    pack = Pack(folder)
    pack.picture(pack.cutout("animals/mammals/cats/tiger"))


@pytest.mark.parametrize("damage", [damage_manifest, damage_names, damage_format, damage_picture, lose_picture])
def test_damaged_pack_is_an_error_that_names_the_fix_and_is_built_anew(
    debian_tree: Path, tmp_path: Path, damage: Callable[[Path], None], no_apt: None
) -> None:
    folder = build_photographs(debian_tree, tmp_path).folder
    damage(folder)
    with pytest.raises(UsageError, match="fetch --again"):
        show_tiger(folder)
    assert ready("photographs", tmp_path) is None


@pytest.mark.slow
def test_without_apt_one_line_says_so_and_drawings_are_built(tmp_path: Path, no_apt: None) -> None:
    pytest.importorskip("resvg_py")
    lines: list[str] = []
    pack = fetch(tmp_path, "photographs", False, lines.append)
    assert pack.kind == "drawings"
    assert len(pack.cutouts) > 150
    assert [line for line in lines if "cannot be had" in line] == [
        "Debian's packages cannot be had (there is no apt-get on this machine); building the pack of drawings instead"
    ]
    assert find("", tmp_path).kind == "drawings"
    assert next(iter(pack.cutout("emoji/1f34e").colours)) == "red"
    assert Context(cache=tmp_path).cache == tmp_path


def test_failing_apt_is_reported_by_its_own_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin" / "apt-get"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "E: Could not resolve the archive" >&2\nexit 100\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    (tmp_path / "work").mkdir()
    with pytest.raises(debian.Unavailable, match=r"^apt-get: Could not resolve the archive$"):
        debian.unpack(debian.PACKAGES, tmp_path / "work")


def test_command_shows_an_error_in_one_line(tmp_path: Path, no_apt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path))
    monkeypatch.setattr("maia_collage.build.importlib.util.find_spec", lambda name: None)
    done = CliRunner().invoke(collage, ["fetch"])
    assert done.exit_code == 1
    assert "pip install 'maia-collage[drawings]'" in done.output
    assert "Traceback" not in done.output
    assert "not fetched" in CliRunner().invoke(collage, ["info"]).output


def test_folder_that_cannot_be_written(tmp_path: Path, debian_tree: Path) -> None:
    (tmp_path / "collage").write_text("a file stands where the folder should be")
    with pytest.raises(UsageError, match="cannot write"):
        build_photographs(debian_tree, tmp_path)


@pytest.mark.pack
def test_real_pack_is_whole(real_pack: Pack) -> None:
    assert len(real_pack.cutouts) > 330
    assert len(real_pack.photographs) >= 11
    assert ready("photographs", real_pack.folder.parents[1]) is not None


@pytest.mark.parametrize("fails", [False, True])
def test_fetch_prepares_the_describer_and_does_not_fail_with_it(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    prepared: list[str] = []

    def prepare(progress: Callable[[int, int], None]) -> None:
        if fails:
            raise UsageError("there are no weights")
        progress(64, 128)
        progress(128, 128)
        prepared.append("features")

    context = SimpleNamespace(config=RunConfig(), build=lambda *names, **options: SimpleNamespace(prepare=prepare))
    monkeypatch.setattr("maia_core.plugin.Context", lambda: context)
    monkeypatch.setattr("maia_core.plugin.installed", lambda: SimpleNamespace(find=lambda *names: object()))
    monkeypatch.setattr("maia_collage.fetch.fetch", lambda *arguments: None)
    done = CliRunner().invoke(collage, ["fetch"])
    assert (done.exit_code, prepared) == (0, [] if fails else ["features"])
    assert ("there are no weights" in done.output) == fails
    assert done.output.count("compares images with, once") == (0 if fails else 1)
