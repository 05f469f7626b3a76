"""Every command with `--json`: its standard output is JSON, an object per line, whether it succeeds or fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image as PILImage

from maia_cli.main import maia

FIXTURES = Path(__file__).parent / "fixtures" / "runs"
NET = """
from torch import nn
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
"""
ACME = """
from maia_core.testing import FakeDescriber as Describer, FakeEditor as Editor, FakeGenerator
class Generator(FakeGenerator):
    def __init__(self, config, context):
        super().__init__()
"""
ENTRIES = """
[maia.generators]
paint = acme:Generator
[maia.describers]
eye = acme:Describer
[maia.editors]
paint = acme:Editor
"""
IMAGES = ("--dataset", "folder", "-o", "dataset.path=images")
PARTS = ("--generator", "paint", "--editor", "paint", "--describer", "eye", *IMAGES)
RUN = ("--backbone", "human", "--sandbox", "process", "--no-verify", "-o", 'tools=["text2image"]', *PARTS)
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ask": (("module/net_of_json.net:0", "which?", *RUN), ("nothing:0", "which?")),
    "backbones": ((), ("--nothing",)),
    "cache list": ((), ("extra",)),
    "config": (("--system", "module/net_of_json.net:0:1"), ("nothing",)),
    "eval generator": (("paint", "--describer", "eye", "--each", "1", "--out", "page.html"), ("nothing",)),
    "exemplars show": (("module/net_of_json.net:0:1",), ("nothing:0:1",)),
    "run": (("--system", "module/net_of_json.net:0:1", *RUN), ("--system", "nothing:0:1")),
    "runs compare": (("run", "run"), ("nowhere", "empty")),
    "runs list": ((".",), ("nowhere",)),
    "synthetic list": (("paper",), ("nothing",)),
    "synthetic score": (("named",), ("nowhere",)),
    "systems list": ((), ("extra",)),
    "systems show": (("module/net_of_json.net",), ("nothing",)),
}
"""Command to its arguments for success and for failure."""
TRIED_ELSEWHERE = {"planted list", "sweep", "labels", "sae inspect", "sae check"}
"""Commands that the tests of their own distributions try, on the files that they need."""
EXPERIMENT = "tools.text2image(['red'])\n.\n"
TYPED = (f"{EXPERIMENT}answer\nRed.\n\nred\n\n", f"{EXPERIMENT}answer\nRed.\n\n0: it is red\n\n")
"""The person's experiment and answer about a unit, and about a layer."""
MAY_BE_EMPTY = ("cache list",)


def _commands(group: click.Group, names: tuple[str, ...] = ()) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*names, name))
        elif command is not None and any("--json" in parameter.opts for parameter in command.params):
            yield " ".join((*names, name))


def test_every_command_with_json_has_a_case() -> None:
    assert set(CASES) | TRIED_ELSEWHERE == set(_commands(maia))


def _objects(text: str) -> list[object]:
    """Returns the JSON values of the lines; refuses the constants that are not JSON, such as NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def _call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MAIA_CACHE": str(folder / "cache"), "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", "from maia_core.cli import main; main()", *arguments],
        cwd=folder, env=environment, input=TYPED["ask" in arguments], capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a network, images, an index, a run, and a generator and a describer of another author."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "net_of_json.py").write_text(NET)
    (folder / "images").mkdir()
    for number in range(40):
        PILImage.new("RGB", (32, 32), (number * 6, 99, 20)).save(folder / "images" / f"{number:02}.png")
    with tarfile.open(FIXTURES / "format1-demo.tar.gz") as archive:
        archive.extractall(folder / "archive", filter="data")
    next(folder.glob("archive/**/run.json")).parent.rename(folder / "run")
    shutil.copytree(folder / "run", folder / "named")
    manifest = json.loads((folder / "named" / "run.json").read_text())
    manifest["config"]["system"] = {"name": "synthetic:tiger"}
    (folder / "named" / "run.json").write_text(json.dumps(manifest))
    (folder / "acme.py").write_text(ACME)
    metadata = folder / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\nSummary: x\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    built = _call(folder, "exemplars", "build", "module/net_of_json.net", "--layers", "0", *IMAGES)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", CASES)
def test_standard_output_is_json(command: str, folder: Path) -> None:
    succeeding, failing = CASES[command]
    done = _call(folder, *command.split(), *succeeding, "--json")
    assert done.returncode == 0, done.stderr
    found = _objects(done.stdout)
    assert all(isinstance(value, dict) for value in found)
    assert found or command in MAY_BE_EMPTY
    done = _call(folder, *command.split(), *failing, "--json")
    assert done.returncode == 2, done.stdout
    assert _objects(done.stdout) == []
    assert done.stderr.splitlines()[-1].startswith("maia: ")
    assert "Traceback" not in done.stderr
