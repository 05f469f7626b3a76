"""Finds imports of private modules of the core in a plugin's source, which is read and never run."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

PUBLIC = ("plugin", "testing", "API", "__version__")
"""What a plugin may import from the package `maia_core` itself."""

RENAMED = {"Choice": "PluginRef", "Chosen": "PluginRef", "Context": "RunContext", "Window": "ContextPolicy"}
"""Names of earlier layouts, and what a plugin imports today."""

_SUSPECT = re.compile(r"^\s*(from maia_core import|(from|import) maia_core\.(?!(plugin|testing)\b))", re.MULTILINE)


def private_imports(module: str) -> list[str]:
    """Returns a line for each private import of the core in a module's package: file, line and the right import."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return []
    folders = spec.submodule_search_locations or []
    files = [Path(spec.origin)] if spec.origin and not folders else []
    files += sorted(file for folder in folders for file in Path(folder).rglob("*.py"))
    return [line for file in files for line in _in_file(file)]


def _in_file(file: Path) -> Iterator[str]:
    try:
        source = file.read_text(encoding="utf-8")
        tree = ast.parse(source) if _SUSPECT.search(source) else None
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            modules, names = names, []
        elif node.module == "maia_core":
            modules, names = [f"maia_core.{name}" for name in names], []
        else:
            modules = [node.module or ""]
        for module in modules:
            package, _, inner = module.partition(".")
            if package == "maia_core" and inner and inner.partition(".")[0] not in PUBLIC:
                yield f"{file.name} line {node.lineno} imports {module}, which is private; {_advice(names)}"


def _advice(names: list[str]) -> str:
    from maia_core import plugin

    names_today = {RENAMED.get(name, name) for name in names}
    found, gone = sorted(names_today & set(dir(plugin))), sorted(names_today - set(dir(plugin)))
    if not names:
        return "import the names that it uses from maia_core.plugin"
    parts = [f"write: from maia_core.plugin import {', '.join(found)}"] if found else []
    if gone:
        parts.append(f"maia_core.plugin, the public API, does not have {', '.join(gone)}")
    return "; ".join(parts)
