"""The gate that protects authors of plugins: what it calls a breaking change, and what it lets pass."""

import copy
import importlib.util
import json
import sys
import textwrap
import types
from pathlib import Path

import click
import pluggy
import pytest

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("maia_docs_api", ROOT / "docs" / "api.py")
assert _spec is not None
assert _spec.loader is not None
api = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = api  # Dataclasses look their module up.
_spec.loader.exec_module(api)

TOY = '''
from collections.abc import Sequence
from typing import Protocol
from pydantic import BaseModel, Field

class Model(Protocol):
    """A kind of plugin."""
    name: str
    def measure(self, images: Sequence[str]) -> list[float]: ...
    def close(self) -> None: ...

class Options(BaseModel):
    """What a user sets."""
    size: int = Field(224, gt=0)
    title: str

class Failed(Exception):
    """An error of the command."""
    exit_code = 2

def load(path: str, strict: bool = True) -> Options: ...
'''

HOOKS = """
def finished(run: str, outcome: str) -> None: ...
"""


def described(source: str, hooks: str = HOOKS):
    """Describes a toy API as `snapshot` describes the real one."""
    module, observed = types.ModuleType("maia_core.toy"), types.ModuleType("maia_core.toy_hooks")
    exec(compile("from __future__ import annotations\n" + source, "toy", "exec", dont_inherit=True), vars(module))
    exec(hooks, vars(observed))
    names = ("Model", "Options", "Failed", "load")
    return {
        "api": 1,
        "names": {name: api._described(vars(module)[name]) for name in names if name in vars(module)},
        "hooks": {name: api._signature(f) for name, f in vars(observed).items() if isinstance(f, types.FunctionType)},
        "groups": {"model": "maia.models"},
        "events": {"Ended": api._schema(vars(module)["Options"])},
        "commands": {"maia run": {"--out": {"required": False, "multiple": False}}},
    }


# Before, after, what the gate says, and whom it breaks. The first fifteen are the changes of docs/design/decisions.md.
BREAKING = [
    ("    def close(self) -> None: ...\n", "", "Model.close: removed", "callers"),
    ("strict: bool = True", "strict: bool = False", "default of parameter 'strict' was True, is False", "callers"),
    ("path: str,", "path: str, mode: str,", "parameter 'mode' added", "callers"),
    (
        "    def close(",
        "    def reset(self) -> None: ...\n    def close(",
        "Model.reset: added to the protocol",
        "implementers",
    ),
    ("    name: str\n", "    name: str\n    units: int\n", "Model.units: added to the protocol", "implementers"),
    ("images: Sequence[str])", "images: Sequence[str], batch: int = 8)", "parameter 'batch' added", "implementers"),
    ("images: Sequence[str]", "images: list[str]", "parameter 'images' was Sequence[str], is list[str]", "both"),
    ("-> list[float]", "-> tuple[float, ...]", "returned list[float], returns tuple[float, ...]", "both"),
    ("    name: str\n", "    name: bytes\n", "Model.name: its type was str, is bytes", "both"),
    ("title: str", "title: int", "Options.title: its type was str, is int", "both"),
    ("Field(224", "Field(256", "Options.size: its default was 224, is 256", "callers"),
    ("    title: str\n", "    title: str\n    owner: str\n", "Options.owner: field added", "both"),
    ("Field(224, gt=0)", "Field(gt=0)", "Options.size: field became required", "both"),
    ("gt=0", "gt=16", "Options.size: its bounds are Gt(gt=16)", "both"),
    ("exit_code = 2", "exit_code = 3", "Failed: its exit code was 2, is 3", "callers"),
    ("def load(path: str, strict", "def load(strict", "parameter 'path' removed", "callers"),
    ("def load(", "def open_(", "load: removed", "both"),
]


@pytest.mark.parametrize(("before", "after", "says", "breaks"), BREAKING, ids=[row[2] for row in BREAKING])
def test_a_breaking_change_is_named_with_whom_it_breaks(before, after, says, breaks):
    assert before in TOY
    changes = api.breaking(api.compare(described(TOY), described(TOY.replace(before, after, 1))))
    assert [c for c in changes if says in str(c) and c.breaks == breaks], [str(c) for c in changes]


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("groups", {"model": "maia.model"}, "kind model: its entry-point group changed or is gone"),
        ("groups", {}, "kind model: its entry-point group changed or is gone"),
        ("commands", {"maia run": {}}, "option --out removed"),
        ("commands", {}, "`maia run`: removed"),
        ("commands", {"maia run": {"--out": {"required": True, "multiple": False}}}, "option --out changed"),
        ("events", {}, "event Ended: removed"),
    ],
)
def test_groups_commands_and_events_are_part_of_the_api(part, change, says):
    new = described(TOY) | {part: change}
    assert any(says in str(c) and c.breaks for c in api.compare(described(TOY), new))


@pytest.mark.parametrize(
    ("hooks", "says"),
    [
        ("def finished(run: str) -> None: ...", "argument 'outcome' removed"),
        ("def finished(run: str, outcome: int) -> None: ...", "argument 'outcome' was"),
        ("def ended(run: str, outcome: str) -> None: ...", "hook finished: removed"),
    ],
)
def test_hooks_are_part_of_the_api(hooks, says):
    changes = api.breaking(api.compare(described(TOY), described(TOY, hooks)))
    assert any(says in str(change) for change in changes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("strict: bool = True)", "strict: bool = True, quiet: bool = False)"),
        ("    title: str\n", "    title: str\n    note: str = ''\n"),
        ("def load(", "def extra() -> None: ...\n\ndef load("),
        ('"""What a user sets."""', '"""What a person sets."""'),
    ],
)
def test_additions_and_texts_break_nobody(before, after):
    assert before in TOY
    assert not api.breaking(api.compare(described(TOY), described(TOY.replace(before, after, 1))))


def test_a_hook_may_get_another_argument():
    more = "def finished(run: str, outcome: str, seconds: float) -> None: ..."
    assert not api.breaking(api.compare(described(TOY), described(TOY, more)))


def test_a_breaking_change_needs_a_new_number_and_a_line_in_the_changelog():
    old, new = described(TOY), described(TOY.replace("    def close(self) -> None: ...\n", ""))
    (problem,) = api.gate(old, new, "# Changelog")
    assert "Model.close: removed" in problem
    assert "maia_core.API = 2" in problem
    assert "API 2" in problem
    new["api"] = 2
    assert "API 2" in api.gate(old, new, "# Changelog")[0]
    assert not api.gate(old, new, "# Changelog\n\nAPI 2: models have no close.")
    assert not api.gate(old, copy.deepcopy(old), "")


def test_options_of_a_command_are_found():
    @click.command()
    @click.option("--out", "-o", required=True)
    def run(out):
        pass

    run.callback.__module__ = "maia_core.cli"
    assert dict(api._commands(run, "maia run"))["maia run"]["--out/-o"]["required"] is True


def test_the_real_specifications_of_hooks_are_found():
    from maia_core import hookspecs

    manager = pluggy.PluginManager("maia")
    manager.add_hookspecs(hookspecs)
    specified = {name for name in vars(manager.hook) if not name.startswith("_")}
    assert set(api.snapshot()["hooks"]) == specified


def test_this_checkout_breaks_no_plugin_without_saying_so():
    accepted = json.loads((ROOT / "docs" / "design" / "api.json").read_text(encoding="utf-8"))
    changelog = (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8")
    problems = api.gate(accepted, api.snapshot(), changelog)
    assert not problems, textwrap.indent("\n".join(problems), "  ")


def test_the_snapshot_is_the_same_in_every_process():
    text = api.dumped(api.snapshot())
    assert "0x" not in text
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
