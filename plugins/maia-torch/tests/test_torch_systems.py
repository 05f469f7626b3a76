"""`maia systems`: what a user sees of a model before a unit is chosen."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from maia_core.errors import MaiaError, UsageError
from maia_core.types import LayerInfo
from maia_torch.systems import systems
from maia_torch.tree import rows


def layer(name: str, units: int = 4, side: int = 8, kind: str = "inner") -> LayerInfo:
    return LayerInfo(name=name, units=units, shape=(units, side, side), kind=kind)


LAYERS = [
    layer("stem"),
    *(layer(f"blocks.{number}.{part}") for number in range(3) for part in ("conv", "act@1", "act@2")),
    *(layer(f"blocks.{number}", kind="main") for number in range(3)),
    layer("blocks.3.conv", side=4),
    layer("blocks.3", side=4, kind="main"),
    layer("neck#low", side=4),
    layer("neck#high", side=2),
]


def test_siblings_that_are_alike_share_a_line():
    assert [row.text for row in rows(LAYERS)] == [
        *("stem", "blocks", "├─ 0-2", "│  ├─ conv", "│  └─ act@1-2", "└─ 3", "   └─ conv"),
        *("neck", "├─ #low", "└─ #high"),
    ]
    assert len(list(rows(LAYERS, collapse=False))) == len(LAYERS) + 2, "and the names that only group others"
    assert [row.text for row in rows(LAYERS, depth=2)][2:4] == ["├─ 0-2", "└─ 3"]


def test_every_layer_of_a_model_is_somewhere_in_its_tree(model):
    names = [row.layer.name for row in rows(model.layers(), collapse=False) if row.layer]
    assert sorted(names) == sorted(layer.name for layer in model.layers())


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "shown_net.py").write_text(
        "from torch import nn\nnet = nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 1, nn.ReLU())"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return lambda *arguments: CliRunner().invoke(systems, arguments, catch_exceptions=True)


def test_show_prints_units_and_maps_and_how_to_name_one(run):
    done = run("show", "module/shown_net.net", "-o", "size=[16, 24]")
    assert "0-1     3 units   16 x 24" in done.stdout
    assert "A unit is module/shown_net.net:LAYER:NUMBER" in done.stdout
    lines = run("show", "module/shown_net.net", "-o", "size=16", "--json").stdout.splitlines()
    assert json.loads(lines[0]) == {"name": "0", "units": 3, "shape": [3, 16, 16], "kind": "main"}


def test_show_takes_the_model_of_the_configuration_file(run, tmp_path):
    assert "which model?" in str(run("show").exception)
    (tmp_path / "maia.toml").write_text('[system]\nname = "module/shown_net.net:0:1"\nsize = 16\n')
    assert "A unit is module/shown_net.net:LAYER:NUMBER" in run("show").stdout


def test_a_wrong_name_gets_the_nearest(run):
    for arguments, says in [
        (("show", "modul/x.y"), "Did you mean 'module'"),
        (("show", "module/shown_net.nat"), "Did you mean 'net'"),
        (("show", "module/shown_net.net:0:1"), "names a layer or a unit; give the model alone: module/shown_net.net"),
        (("show", "module/shown_net.net:0"), "names a layer or a unit; give the model alone: module/shown_net.net"),
        (("list", "modul"), "Did you mean 'module'"),
    ]:
        error = run(*arguments).exception
        assert isinstance(error, MaiaError)
        assert says in str(error)


def test_list_names_the_plugins_and_the_models_that_one_offers(run, monkeypatch):
    assert "module " in run("list").stdout
    assert {"name", "distribution", "summary"} == json.loads(run("list", "--json").stdout.splitlines()[0]).keys()
    assert run("list", "module").stdout == "module\n"
    from maia_torch.own import OwnModel

    monkeypatch.setattr(OwnModel, "models", staticmethod(lambda: ["resnet18", "resnet50", "vit"]), raising=False)
    assert run("list", "module", "res*").stdout.split() == ["module/resnet18", "module/resnet50"]
    error = run("list", "module", "resnet19").exception
    assert isinstance(error, UsageError)
    assert "Did you mean 'resnet18'" in str(error)


def test_help_and_the_list_of_plugins_import_no_torch():
    code = """
import sys
from click.testing import CliRunner
from maia_torch.systems import systems
for arguments in (["--help"], ["show", "--help"], ["list"]):
    assert CliRunner().invoke(systems, arguments).exit_code == 0
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
