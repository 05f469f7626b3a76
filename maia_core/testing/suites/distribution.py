"""What every installed distribution of plugins does."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import click

from maia_core import hookspecs
from maia_core.config import PluginConfig
from maia_core.registry import Plugin, installed

LIGHT = frozenset(
    {
        "annotated_types",
        "click",
        "lazy_loader",
        "maia_core",
        "numpy",
        "packaging",
        "PIL",
        "pluggy",
        "pydantic",
        "pydantic_core",
    }
) | {"typing_extensions", "typing_inspection"}
"""What an entry-point module may import beside the standard library and its own package: core's own requirements."""

PROBE = """
import importlib, json, sys
import click, numpy.random, packaging.specifiers, PIL.Image, pluggy, pydantic
import maia_core.cli, maia_core.config, maia_core.context, maia_core.host, maia_core.session, maia_core.types
before = set(sys.modules)
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


class DistributionSuite:
    """Subclass it and set `distribution`; it must be installed.

        class TestMine(DistributionSuite):
            distribution = "maia-mine"

    Attributes:
        distribution: Name of the distribution.
        light: Further packages that its entry-point modules may import, because they are as quick to import.
        optional: Packages that it imports where they are there, and does not declare.
    """

    distribution: ClassVar[str] = ""
    light: ClassVar[frozenset[str]] = frozenset()
    optional: ClassVar[frozenset[str]] = frozenset()

    def test_metadata_says_what_it_is(self) -> None:
        """`maia plugins` shows a distribution by its metadata alone."""
        found = metadata.metadata(self.distribution)
        assert (found["Summary"] or "").strip()
        assert "maia-core" in set(map(_name, metadata.requires(self.distribution) or []))

    def test_plugins_are_found(self) -> None:
        assert self.plugins(), f"{self.distribution} is not installed, or declares no entry point in a `maia.` group"

    def test_plugins_load_and_can_be_built(self) -> None:
        """Each entry point is what its kind asks for; most are called as `factory(config, context)`."""
        for plugin in self.plugins():
            loaded = plugin.load()
            if plugin.kind == "command":
                assert isinstance(loaded, click.Command)
            elif plugin.kind == "observer":
                names = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction)}
                assert names & set(dir(loaded)), f"observer '{plugin.name}' implements no hook"
            else:
                assert callable(loaded)
                inspect.signature(loaded).bind(None, None)

    def test_options_are_documented(self) -> None:
        """`maia plugins show` prints them."""
        for plugin in self.plugins():
            config = getattr(plugin.load(), "Config", PluginConfig)
            assert issubclass(config, PluginConfig)
            silent = [name for name, field in config.model_fields.items() if not field.description]
            assert not silent, f"{plugin.kind} '{plugin.name}': a docstring is missing under {silent}"

    def test_loading_imports_nothing_heavy(self) -> None:
        """Heavy packages (torch and its like) are imported inside functions, so that `maia` starts quickly."""
        modules = sorted({plugin.entry_point.module for plugin in self.plugins()})
        run = subprocess.run(
            [sys.executable, "-c", PROBE, json.dumps(modules)], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        allowed = LIGHT | self.light | self.packages() | sys.stdlib_module_names
        # A distribution of MAIA is as heavy as the packages that it imports, which are in the list themselves.
        heavy = sorted(
            name for name in json.loads(run.stdout) if name not in allowed and not name.startswith(("_", "maia_"))
        )
        assert not heavy, f"loading {self.distribution} imports {heavy}: import them inside of functions"

    def test_declares_what_it_imports(self) -> None:
        """Otherwise it breaks where it is installed alone."""
        declared = {_normal(self.distribution), *map(_name, metadata.requires(self.distribution) or [])}
        undeclared = {
            name: str(file)
            for file in self.files()
            for name in _imports(file)
            if not declared & set(_distributions(name))
        }
        for name in self.optional | self.packages() | sys.stdlib_module_names:
            undeclared.pop(name, None)
        assert not undeclared, f"imported, but not in `dependencies` of {self.distribution}: {undeclared}"

    def plugins(self) -> list[Plugin]:
        """Returns the distribution's plugins."""
        name = _normal(self.distribution)
        return [plugin for plugin in installed().plugins if _normal(plugin.distribution) == name]

    def packages(self) -> frozenset[str]:
        """Returns the distribution's own import packages: those of its entry points."""
        return frozenset(plugin.entry_point.module.partition(".")[0] for plugin in self.plugins())

    def files(self) -> list[Path]:
        """Returns the source files of those packages; core's are core's business."""
        found: list[Path] = []
        for package in self.packages() - {"maia_core"}:
            spec = importlib.util.find_spec(package)
            if spec and spec.submodule_search_locations:
                found += [file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py")]
            elif spec and spec.origin:
                found.append(Path(spec.origin))
        return sorted(found)


def _imports(file: Path) -> Iterator[str]:
    """Yields the top-level packages that a file imports, wherever in it."""
    tree: Any = ast.parse(file.read_text(encoding="utf-8"), str(file))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@cache
def _all_distributions() -> dict[str, list[str]]:
    return {package: [*map(_normal, names)] for package, names in metadata.packages_distributions().items()}


def _distributions(package: str) -> list[str]:
    """Returns the distributions that hold a package; one that is not installed is taken to be named like it."""
    return _all_distributions().get(package, [_normal(package)])


def _name(requirement: str) -> str:
    return _normal(re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
