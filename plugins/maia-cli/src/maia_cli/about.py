"""What an installed plugin is, in one line, without importing it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from maia_core.plugin import Plugin

_DOCSTRING = re.compile(r'''(?:\s|#[^\n]*\n)*[rR]?("""|\'{3}|"|\')\s*([^\n]+?)\s*(?:\1|\n)''')
"""The first line of the docstring that a module begins with."""


def about(plugin: Plugin) -> str:
    """Returns the first line of the docstring of a plugin's module; where there is none, its distribution's summary."""
    try:
        package, *inner = plugin.entry_point.module.split(".")
        spec = importlib.util.find_spec(package)
        folder = next(iter((spec and spec.submodule_search_locations) or ()), None)
        if folder is None:
            return plugin.summary
        with Path(folder).joinpath(*inner).with_suffix(".py").open(encoding="utf-8") as file:
            docstring = _DOCSTRING.match(file.read(2000))
    except (AttributeError, ImportError, OSError, ValueError):
        return plugin.summary
    return docstring[2] if docstring else plugin.summary
