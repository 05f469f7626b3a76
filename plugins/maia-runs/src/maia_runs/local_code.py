"""Finds the Python files of the working folder to which settings lead: a signature covers them too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from maia_core.plugin import content_id, syntax_tree

_MODULE = re.compile(r"\b[A-Za-z_]\w*(?=[.:][A-Za-z_])")
"""The first name of a reference to code, `package.module.attribute` or `module:function`."""


def local_code(settings: object) -> dict[str, str]:
    """Returns the content hashes of the Python files, by absolute path, that a part of these settings may import.

    They are the modules of the working folder that a text of the settings names, the modules of it that these import,
    and scripts that a text names as a file or as the folder of a data set. Nothing is imported.
    """
    texts = list(_texts(settings))
    names = {name for text in texts for name in _MODULE.findall(text)}
    files = {file for text in texts for file in _scripts(text)}
    seen: set[str] = set()
    hashes: dict[str, str] = {}
    while files or names - seen:
        for name in names - seen:
            seen.add(name)
            files.update(_files(name))
        file = files.pop() if files else None
        if file is not None and str(file) not in hashes:
            source = file.read_bytes()
            hashes[str(file)] = content_id(source)
            names |= _imported(source)
    return hashes


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _files(module: str) -> set[Path]:
    """Returns the files of a top-level module of the working folder; none where there is no such module."""
    here = Path.cwd()
    suffixes = (".py", ".so")
    inside = {file for suffix in suffixes for file in (here / module).rglob(f"*{suffix}")}
    return {file for file in inside | {*here.glob(f"{module}.*")} if file.suffix in suffixes and file.is_file()}


def _scripts(text: str) -> set[Path]:
    path = Path.cwd() / text
    with suppress(OSError, ValueError):
        return {file for file in (path, path / f"{path.name}.py") if file.suffix == ".py" and file.is_file()}
    return set()


def _imported(source: bytes) -> set[str]:
    """Returns the first names of the modules that a source imports; relative imports stay within their package."""
    with suppress(SyntaxError, ValueError, RecursionError):
        nodes = [node for node in ast.walk(syntax_tree(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
        return {
            (getattr(node, "module", None) or alias.name).partition(".")[0] for node in nodes for alias in node.names
        }
    return set()
