"""What a release promises: one version, bounds between the distributions, and extras that hold what they name."""

import functools
import operator
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from maia_core.config import PluginRef, RunConfig
from maia_core.registry import installed

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = [file.parent for part in ("plugins", "backends") for file in sorted((ROOT / part).glob("*/pyproject.toml"))]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def _required(lines: list[str], extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yields the distributions of this checkout that requirements lead to, directly or not."""
    for line in lines:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if not name.startswith("maia-"):
            continue
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        if name == "maia-core":
            yield from _required([line for extra in requirement.extras for line in EXTRAS[extra]])
            continue
        yield name
        yield from _required(metadata.requires(name) or [], frozenset(requirement.extras))


def test_versions_and_bounds_come_from_one_place():
    done = subprocess.run([sys.executable, ROOT / ".ci" / "versions.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + "\nrun `python .ci/versions.py`"


def test_the_default_extra_holds_every_part_that_a_run_needs_by_default():
    brought = {"maia-core", *_required(EXTRAS["default"])}
    config = RunConfig()
    chosen = [(kind, ref) for kind in RunConfig.model_fields if isinstance(ref := getattr(config, kind), PluginRef)]
    chosen += [("tool", ref) for ref in config.tools]
    for kind, ref in chosen:
        plugin = installed().get(kind, ref.name)
        assert canonicalize_name(plugin.distribution) in brought, (
            f"{kind} '{ref.name}' comes from {plugin.distribution}"
        )


def test_a_fresh_environment_installs_from_the_checkout_alone():
    lines = [line for file in ("requirements.txt", "tests/requirements.txt") for line in (ROOT / file).open()]
    paths = [found[1] for line in lines if (found := re.match(r"-e ((?:plugins|backends)/[\w-]+)", line))]
    assert set(paths) == {folder.relative_to(ROOT).as_posix() for folder in FOLDERS}
    known = {"maia-core"}
    for path in paths:
        project = tomllib.loads((ROOT / path / "pyproject.toml").read_text())["project"]
        needed = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
        assert {name for name in needed if name.startswith("maia-")} <= known, f"{path} stands before what it needs"
        known.add(project["name"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_distribution_comes_with_an_extra(folder):
    name = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]
    assert name in set(_required(["maia-core[all]"])), f"add {name} to an extra of maia-core, and that extra to `all`"


def test_the_release_asks_for_extras_that_exist():
    named = re.findall(r"maia-core\[([\w,-]+)\]", " ".join(functools.reduce(operator.iadd, EXTRAS.values(), [])))
    assert named
    assert {extra for names in named for extra in names.split(",")} <= set(EXTRAS)
