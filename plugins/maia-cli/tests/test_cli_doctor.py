"""`maia doctor`, and commands of other distributions that take the names of MAIA's."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from maia_cli.doctor import problems_of
from maia_core.plugin import Registry

SOURCE = """
import click
from maia_core.plugin import PluginConfig

class Good:
    def __init__(self, config, context): pass

class NoArguments:
    pass

class NeedsThree:
    def __init__(self, config, context, device): pass

class WrongConfig:
    class Config:
        size: int = 3
    def __init__(self, config, context): pass

THING = 3

@click.command()
def evil():
    click.echo("evil")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the distribution `acme` with entry points by group, and returns its folder."""
    monkeypatch.delitem(sys.modules, "acme_doctored", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(*points: tuple[str, str]) -> Path:
        (tmp_path / "acme_doctored.py").write_text(SOURCE)
        info = tmp_path / "acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\nSummary: toys\n")
        (info / "entry_points.txt").write_text("".join(f"[{group}]\n{line}\n" for group, line in points))
        return tmp_path

    return write


def _problems(folder: Path) -> list[str]:
    found = list(distributions(path=[str(folder)]))
    return [f"{problem.plugin}: {problem.cause}" for problem in problems_of(Registry(found), found)]


@pytest.mark.parametrize("group", ["maia.tool", "maia.tols", "maia_tools", "Maia.Tools", "mai.tools"])
def test_a_misspelt_group_is_named_with_the_right_one(install: Any, group: str) -> None:
    [problem] = _problems(install((group, "x = acme_doctored:Good")))
    assert problem == f"acme 1.0: MAIA reads no group of entry points '{group}'; did you mean 'maia.tools'?"


def test_groups_of_others_are_no_fault(install: Any) -> None:
    assert _problems(install(("console_scripts", "x = acme_doctored:evil"), ("pytest11", "y = acme_doctored"))) == []


@pytest.mark.parametrize(
    ("group", "line", "says"),
    [
        ("maia.tools", "my-tool = acme_doctored:Good", "programs cannot call tools.my-tool"),
        ("maia.tools", "class = acme_doctored:Good", "programs cannot call tools.class"),
        ("maia.generators", "x = acme_doctored:NoArguments", "cannot be called with (config, context)"),
        ("maia.generators", "x = acme_doctored:NeedsThree", "'device'"),
        ("maia.generators", "x = acme_doctored:THING", "not a class or function"),
        ("maia.judges", "x = acme_doctored:WrongConfig", "not a class derived from maia_core.plugin.PluginConfig"),
        ("maia.commands", "x = acme_doctored:Good", "not a click command"),
        ("maia.commands", "run = acme_doctored:evil", "`maia run` is a command of maia-cli"),
    ],
)
def test_a_fault_of_a_plugin_is_named(install: Any, group: str, line: str, says: str) -> None:
    [problem] = _problems(install((group, line)))
    assert says in problem
    assert "acme 1.0" in problem


def test_a_sound_plugin_has_no_fault(install: Any) -> None:
    assert _problems(install(("maia.tools", "my_tool = acme_doctored:Good"))) == []


def test_another_distribution_cannot_take_a_command_away(install: Any, tmp_path: Path) -> None:
    folder = install(("maia.commands", "prompt = acme_doctored:evil\nmine = acme_doctored:evil"))

    def maia(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from maia_core.cli import main; main()", *arguments],
            capture_output=True, text=True, cwd=tmp_path, timeout=60, env=os.environ | {"PYTHONPATH": str(folder)},
        )  # fmt: skip

    assert "Print the first messages" in maia("prompt", "--help").stdout
    assert maia("mine").stdout == "evil\n"
    taken = maia("prompt@acme")
    assert (taken.returncode, taken.stdout) == (2, "")
    assert "command 'prompt' (acme 1.0) is refused: `maia prompt` is a command of maia-cli" in taken.stderr
    assert maia("--help").stdout.count("\n  prompt ") == 1
