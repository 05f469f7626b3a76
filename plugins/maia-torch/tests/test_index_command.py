"""`maia exemplars` from the command line: an own network, a folder of images."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage

from maia_core.errors import MaiaError, UsageError
from maia_exemplars.command import exemplars

pytest.importorskip("maia_datasets", reason="the data set `folder`")

NET = """
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 9, 3), nn.ReLU())
net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
net.add_module("classes", nn.Linear(9, 3))
"""

MODEL = ("module/net_of_mine.net", "-o", "size=32", "-o", "classes=classes.txt")


@pytest.fixture
def run(tmp_path, monkeypatch, folder):
    """Runs `maia exemplars` in a folder with a network, images (two are broken) and a cache of its own."""
    (tmp_path / "net_of_mine.py").write_text(NET)
    (tmp_path / "classes.txt").write_text("red fox\ncrane\ntiger\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")

    def invoke(*arguments: str, data: bool = True):
        chosen = ("--dataset", "folder", "-o", f"dataset.path={tmp_path / 'images'}") if data else ()
        done = CliRunner().invoke(exemplars, [*arguments, *chosen])
        if done.exception is not None and not isinstance(done.exception, (SystemExit, MaiaError)):
            raise done.exception
        return done

    return invoke


def built(run, *arguments: str):
    done = run("build", *MODEL, "--layers", "0,2,prob", *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done


def test_build_then_show_by_the_name_of_the_model(run):
    done = built(run)
    assert "on images: 38 images, 2 unreadable" in done.stdout
    assert "6 units, 32 exemplars each   14 x 14" in done.stdout
    assert "unreadable: 07.png, 20.png" in done.stdout
    shown = run("show", "module/net_of_mine.net:2:5", data=False)
    assert "38 images of images, 2 unreadable" in shown.stdout
    assert "threshold   0.95:" in shown.stdout
    assert shown.stdout.count(".png   row ") == 15
    assert run("show", "module/net_of_mine.net:2:5", "--k", "20", data=False).stdout.count(".png   row ") == 20
    shown = json.loads(run("show", "module/net_of_mine.net:prob:tiger", "--json", data=False).stdout)
    assert (shown["unit"], shown["label"], shown["thresholds"]) == (2, "tiger", {})
    assert shown["exemplars"][0]["activation"] == pytest.approx(shown["statistics"]["quantiles"][-1])
    again = built(run)
    assert again.stderr.count("there already") == 3


def test_names_of_layers_and_of_classes_may_hold_colons(run, tmp_path):
    (tmp_path / "colon_net.py").write_text(NET + 'net.add_module("out:a", nn.ReLU())\n')
    (tmp_path / "classes.txt").write_text("red: fox\ncrane\ntiger\n")
    done = run("build", "module/colon_net.net", *MODEL[1:], "--layers", "out:a,logit", "--k", "1")
    assert done.exit_code == 0, (done.output, done.exception)
    for unit, layer, label in (
        ("out:a:1", "out:a", "1"),
        ("logit:red:_fox", "logit", "red:_fox"),
        ("logit:2", "logit", "tiger"),
    ):
        shown = json.loads(run("show", f"module/colon_net.net:{unit}", "--json", data=False).stdout)
        assert (shown["layer"], shown["label"]) == (layer, label)
    assert "out:a " in run("show", "module/colon_net.net:out:a", data=False).stdout


def _build_in_a_new_process(tmp_path, *arguments):
    """As a person would: a module that was changed is imported again."""
    command = "from maia_exemplars.command import exemplars; exemplars()"
    data = ("--dataset", "folder", "-o", f"dataset.path={tmp_path / 'images'}")
    subprocess.run([sys.executable, "-c", command, *arguments, *data], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.slow
def test_after_training_the_index_of_the_model_of_today_is_shown_and_the_other_can_be_removed(run, tmp_path):
    weights = "torch.save(net.state_dict(), 'w.pt')\n"
    for seed in (0, 1):
        (tmp_path / "train.py").write_text(NET.replace("manual_seed(0)", f"manual_seed({seed})") + weights)
        subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True)
        _build_in_a_new_process(tmp_path, "build", *MODEL, "-o", "weights=w.pt", "--layers", "2")
    listed = [line for line in run("list", data=False).stdout.splitlines() if "module/net_of_mine.net" in line]
    (old,) = [line for line in listed if "of an earlier model" in line]
    (new,) = [line for line in listed if ", current (" in line]
    shown = json.loads(run("show", "module/net_of_mine.net:2:1", "--json", data=False).stdout)
    assert shown["model_fingerprint"][:12] in new
    refused = run("remove", "module/net_of_mine.net", data=False)
    assert "several indexes of module/net_of_mine.net are known; name the folder" in str(refused.exception)
    nothing = run("remove", str(tmp_path / "images"), data=False)
    assert "images holds no exemplar index" in str(nothing.exception)
    assert (tmp_path / "images").is_dir()
    folder = old.split("  ")[-1]
    assert run("remove", folder, data=False).stdout == f"removed: 2 in {folder}\n"
    assert [line for line in run("list", data=False).stdout.splitlines() if "net_of_mine" in line] != []
    assert "of an earlier model" not in run("list", data=False).stdout
    assert run("remove", "module/net_of_mine.net:2", data=False).exit_code == 0
    assert "net_of_mine" not in run("list", data=False).stdout


def test_an_index_is_not_built_among_other_files(run, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    done = run("build", *MODEL, "--out", "thesis")
    assert "thesis holds chapter.txt and no exemplar index; name a new or an empty folder" in str(done.exception)
    assert [file.name for file in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


def test_a_run_finds_what_was_built_elsewhere(run, tmp_path, monkeypatch):
    from maia_core.context import Context, load

    built(run, "--out", "mine")
    context = Context(load(None, [("dataset", "folder"), ("dataset.path", str(tmp_path / "images"))]))
    model = context.model("module/net_of_mine.net", size=32, classes="classes.txt")
    monkeypatch.setattr("maia_exemplars.build.build", lambda *rest, **more: pytest.fail("it is built already"))
    assert model.unit("2:5").statistics.count == 38
    listed = run("list", data=False).stdout
    assert "module/net_of_mine.net:2  9 units, 38 images of images" in listed
    assert str(tmp_path / "mine") in listed


def test_an_index_that_was_copied_here_can_be_used(run, tmp_path):
    built(run, "--out", "mine")
    (tmp_path / "cache").rename(tmp_path / "old-cache")
    assert run("list", data=False).stdout == ""
    used = run("use", "mine", data=False)
    assert used.exit_code == 0
    assert "noted: runs on this machine use mine" in used.stderr
    assert "module/net_of_mine.net:prob" in run("list", data=False).stdout


def test_shards_are_built_and_merged(run, tmp_path):
    for number in (1, 2, 3):
        built(run, "--shard", f"{number}/3", "--out", f"part{number}")
    assert "(0 to 12)" in run("show", "part1", data=False).stdout
    some = run("merge", "part1", "part3", "--out", "some", data=False)
    assert "this covers 0 to 12, 26 to 39 of 40 images" in some.stderr
    done = run("merge", "part3", "part2", "part1", "--out", "all", data=False)
    assert "38 images, 2 unreadable" in done.stdout
    built(run, "--out", "whole")
    shown = [run("show", f"{folder}:2:5", "--json", data=False).stdout for folder in ("all", "whole")]
    one, other = map(json.loads, shown)
    assert [e["image"] for e in one["exemplars"]] == [e["image"] for e in other["exemplars"]]


def test_a_picture_shows_the_exemplars_masked(run, tmp_path):
    built(run)
    done = run("show", "module/net_of_mine.net:0:1", "--images", "sheet.png")
    assert done.exit_code == 0, (done.output, done.exception)
    with PILImage.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 5 * 224
        assert np.asarray(sheet).std() > 10
    assert "cannot be written" in str(run("show", "module/net_of_mine.net:0:1", "--images", "sheet.nothing").exception)


def test_milan_finds_images_masks_activations_and_ids(run, tmp_path):
    built(run)
    done = run("export", "module/net_of_mine.net:2", "--format", "milan", "--out", "milan", "--units", "5,0")
    assert done.exit_code == 0, (done.output, done.exception)
    layer = tmp_path / "milan" / "2"
    images, masks = np.load(layer / "images.npy"), np.load(layer / "masks.npy")
    assert (images.shape, images.dtype) == ((2, 15, 3, 32, 32), np.uint8)
    assert (masks.shape, masks.dtype) == ((2, 15, 1, 32, 32), np.uint8)
    assert set(np.unique(masks)) == {0, 1}
    np.testing.assert_array_equal(np.load(layer / "units.npy"), [5, 0])
    done = run("export", "module/net_of_mine.net:2", "--format", "milan", "--out", "milan")
    assert "is there already; choose another --out" in str(done.exception)
    shown = json.loads(run("show", "module/net_of_mine.net:2:5", "--json", data=False).stdout)
    rows = list(csv.reader((layer / "activations.csv").open()))
    assert [float(cell) for cell in rows[0]] == pytest.approx([e["activation"] for e in shown["exemplars"]], rel=1e-4)
    rows = list(csv.reader((layer / "ids.csv").open()))
    assert [int(cell) for cell in rows[0]] == [e["place"] for e in shown["exemplars"]]
    row, column = shown["exemplars"][0]["position"]
    at = int((row + 0.5) / 12 * 32), int((column + 0.5) / 12 * 32)
    assert masks[0, 0, 0][at] == 1, "the mask covers the place of the maximum"


def test_parquet_has_a_row_for_each_unit_and_each_exemplar(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    built(run)
    assert run("export", "module/net_of_mine.net", "--format", "parquet", "--out", "tables", data=False).exit_code == 0
    units = parquet.read_table(tmp_path / "tables" / "units.parquet").to_pylist()
    exemplar = parquet.read_table(tmp_path / "tables" / "exemplars.parquet").to_pylist()
    assert len(units) == 6 + 9 + 3
    assert len(exemplar) == 32 * 18
    tiger = next(row for row in units if row["label"] == "tiger")
    assert (tiger["layer"], tiger["unit"], tiger["threshold_0.99"], tiger["images"]) == ("prob", 2, None, 38)
    assert [row["rank"] for row in exemplar[:32]] == list(range(1, 33))


def test_clip_dissect_gets_the_activations_on_the_sample(run, tmp_path):
    built(run)
    done = run("export", "module/net_of_mine.net:2", "--format", "clip-dissect", "--out", "cd", data=False)
    assert done.exit_code == 0, (done.output, done.exception)
    [path] = (tmp_path / "cd").glob("*_2_max.npy")
    found = np.load(path)
    assert found.shape == (38, 9)
    names = (tmp_path / "cd" / path.name.replace("_max.npy", "_images.txt")).read_text().split()
    assert len(names) == 38


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("build", "module/net_of_mine.net:2:1"),
            "names a layer or a unit; give module/net_of_mine.net alone",
        ),
        (("build", "module/net_of_mine.net:2"), "names a layer or a unit"),
        (("build", *MODEL, "--layers", "nothing*"), "no layer of module/net_of_mine.net is 'nothing"),
        (("build", *MODEL, "--layers", "5x"), "no layer '5x'"),
        (("build", *MODEL, "--shard", "1/2"), "--out FOLDER"),
        (("build", *MODEL, "--shard", "3/2", "--out", "x"), "--shard is I/N"),
        (("build", *MODEL, "--out", "classes.txt"), "'--out': classes.txt is a file; name a folder"),
        (("build", *MODEL, "--out", "classes.txt/sub"), "'--out': classes.txt is a file; name a folder"),
        (("merge", "images", "--out", "classes.txt"), "'--out': classes.txt is a file; name a folder"),
        (("export", "images:2", "--format", "milan", "--out", "classes.txt"), "classes.txt is a file; name a folder"),
        (("show", "module/net_of_mine.net:2:1"), "no index of module/net_of_mine.net:2 is known"),
        (("show", "images"), "holds no exemplar index"),
        (("use", "images"), "holds no exemplar index"),
        (("merge", "images", "--out", "x"), "holds no exemplar index"),
        (("export", "images:2:1", "--format", "milan", "--out", "x"), "leave out the unit"),
    ],
)
def test_bad_input_is_one_line(run, arguments, message):
    done = run(*arguments, data=arguments[0] in ("build", "show", "export"))
    assert done.exit_code != 0
    told = str(done.exception) if isinstance(done.exception, MaiaError) else done.output
    assert message in " ".join(told.split())


def test_a_reference_without_its_model_is_advised_in_full(run):
    """The advice was to build an index of a model that is called as the layer."""
    done = run("show", "prob:1", data=False)
    assert "'prob:1' is not a reference MODEL:LAYER:UNIT" in str(done.exception)
    assert "there is no model 'prob'" in str(done.exception)
    built(run)
    for target in ("prob:1", "prob"):
        for command in ("show", "remove"):
            told = str(run(command, target, data=False).exception)
            assert "give the full reference MODEL:LAYER:UNIT, here module/net_of_mine.net:prob" in told


def test_an_index_is_not_mixed_with_another(run, tmp_path):
    built(run, "--out", "mine")
    done = run("build", MODEL[0], "-o", "size=40", "--layers", "0", "--out", "mine")
    assert "is the index of another model, other weights or preprocessing" in str(done.exception)
    (tmp_path / "images" / "40.png").write_bytes((tmp_path / "images" / "01.png").read_bytes())
    done = run("build", *MODEL, "--layers", "0", "--out", "mine")
    assert "is the index of another data set" in str(done.exception)
    done = run("show", "mine:0:1", "--images", "sheet.png")
    assert isinstance(done.exception, UsageError)
    assert "was built on 40 images of 'images', not on these 41" in str(done.exception)


def test_a_layer_is_built_anew_where_its_order_of_axes_was_corrected(run):
    built(run, "--out", "mine")
    done = built(run, "--out", "mine", "-o", 'layouts={"2" = "NHWC"}')
    assert done.stderr.count("there already") == 2
    assert "12 units, 32 exemplars each   9 x 12" in done.stdout


def test_of_several_data_sets_the_one_that_is_chosen_is_meant(run, tmp_path):
    built(run)
    (tmp_path / "images" / "40.png").write_bytes((tmp_path / "images" / "01.png").read_bytes())
    built(run)
    told = str(run("show", "module/net_of_mine.net:2:1", data=False).exception)
    assert "several indexes" in told
    assert "give the data set's options (-o dataset.KEY=VALUE), or give the folder" in told
    assert "--dataset" not in told
    assert "39 images of images" in run("show", "module/net_of_mine.net:2:1").stdout


def test_of_several_models_of_one_name_the_one_with_the_given_options_is_meant(run, tmp_path):
    built(run)
    other = ("-o", "size=40", "-o", "classes=classes.txt")
    assert run("build", MODEL[0], *other, "--layers", "2").exit_code == 0
    told = str(run("show", "module/net_of_mine.net:2:1", data=False).exception)
    assert "several indexes of module/net_of_mine.net:2:1 are known; give the model's options (-o), or give" in told
    fingerprints = set()
    for options, shape in ((MODEL[1:], "12 x 12"), (other, "16 x 16")):
        shown = run("show", "module/net_of_mine.net:2", *options, data=False).stdout
        assert shape in shown
        fingerprints.add(re.search(r"net \(size=.*; ([0-9a-f]{12})\) on images", shown)[1])
    assert len(fingerprints) == 2
    assert all(f"model {fingerprint}" in told for fingerprint in fingerprints)
    told = str(run("show", "module/net_of_mine.net:2", "-o", "size=48", data=False).exception)
    assert "no index of module/net_of_mine.net with these options is known here; `maia exemplars build` with" in told


def test_an_index_that_is_not_quite_the_one_asked_for_says_so(run, tmp_path):
    built(run)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "1.png").write_bytes((tmp_path / "images" / "01.png").read_bytes())
    other = ("--dataset", "folder", "-o", "dataset.path=other")
    shown = run("show", "module/net_of_mine.net:2:1", *other, data=False)
    assert (
        "note: this is the index of module/net_of_mine.net with size=32, classes=classes.txt on 40 images of images; "
        "none with default options is known; none on the data set that is asked for (other, 1 images) is known\n"
    ) in shown.stderr
    assert "model with size=32, classes=classes.txt\n38 images of images" in shown.stdout
    assert "note: this is the index" not in run("show", "module/net_of_mine.net:2:1", *MODEL[1:]).stderr
    told = run("show", "module/net_of_mine.net:2:1", *MODEL[1:], *other, data=False).stderr
    assert "none on the data set" in told
    assert "default options" not in told


def test_the_model_without_options_is_preferred_where_none_are_given(run):
    built(run)
    assert run("build", MODEL[0], "--layers", "2").exit_code == 0
    shown = run("show", "module/net_of_mine.net:2:1")
    assert "this is the index" not in shown.stderr
    assert "model with" not in shown.stdout


def test_an_index_without_recorded_options_says_so(run, tmp_path):
    built(run, "--out", "mine")
    sheet = tmp_path / "mine" / "2" / "sheet.json"
    held = json.loads(sheet.read_text())
    del held["options"]
    sheet.write_text(json.dumps(held))
    shown = run("show", "module/net_of_mine.net:2:1")
    assert "with options that were not recorded on 40 images of images; whether the model had" in shown.stderr


def test_an_index_of_the_default_model_tells_of_those_without_recorded_options(run, tmp_path):
    assert run("build", MODEL[0], "--layers", "2", "--out", "old").exit_code == 0
    sheet = tmp_path / "old" / "2" / "sheet.json"
    held = json.loads(sheet.read_text())
    del held["options"]
    sheet.write_text(json.dumps(held))
    (tmp_path / "images" / "40.png").write_bytes((tmp_path / "images" / "01.png").read_bytes())
    assert run("build", MODEL[0], "--layers", "2").exit_code == 0
    (tmp_path / "images" / "40.png").unlink()
    shown = run("show", "module/net_of_mine.net:2:1")
    assert "38 images of images" in shown.stdout
    assert "this is the index" not in shown.stderr


def test_an_incomplete_index_cannot_be_used(run):
    built(run, "--shard", "2/3", "--out", "part2")
    told = str(run("use", "part2", data=False).exception)
    assert "part2 holds 13 to 25 of 40 images only" in told
    assert "build shards 1/3, 3/3 and join: maia exemplars merge part2 OTHER... --out INDEX" in told
    assert run("list", data=False).stdout == ""


@pytest.mark.parametrize("form", ["parquet", "clip-dissect"])
def test_a_form_of_all_units_takes_none(run, form, tmp_path):
    built(run)
    done = run("export", "module/net_of_mine.net:2", "--format", form, "--out", "x", "--units", "1,2", data=False)
    assert f"--units is of --format milan; {form} writes all units" in str(done.exception)
    assert not (tmp_path / "x").exists()


def test_of_several_indexes_of_the_same_the_first_is_taken(run):
    built(run)
    built(run, "--out", "mine")
    assert "38 images of images" in run("show", "module/net_of_mine.net:2:1", data=False).stdout


def test_wrong_units_and_layers_get_the_nearest(run):
    built(run)
    for target, message in (
        ("module/net_of_mine.net:prob:tigr", "Did you mean 'tiger'"),
        ("module/net_of_mine.net:2:9", "it has units 0 to 8"),
    ):
        assert message in str(run("show", target, data=False).exception)
    assert "which unit" in str(run("show", "module/net_of_mine.net:2", "--json", data=False).exception)
