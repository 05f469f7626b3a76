"""Finds the faults of the installed plugins."""

from __future__ import annotations

from typing import NamedTuple

from maia_cli.layout import private_imports
from maia_core.plugin import PluginError, Registry, one_line


class Problem(NamedTuple):
    """A line of `maia plugins doctor`: a fault, or with `warning` something that works today and may not tomorrow."""

    plugin: str
    cause: str
    warning: bool = False


def problems_of(registry: Registry) -> list[Problem]:
    """Imports every plugin, one by one, and returns what is wrong with each; no fault stops it."""
    rule = "ignored: a name has letters, digits and _ . @ / - only"
    problems = [Problem(f"{p.kind} {p.name!r} ({p.origin})", rule) for p in registry.misnamed]
    modules: dict[str, str] = {}
    for plugin in registry.plugins:
        twins = [p for p in registry.of_kind(plugin.kind) if p.name == plugin.name and p is not plugin]
        if twins and plugin.kind != "observer":
            problems.append(Problem(plugin.label, f"also claimed by {', '.join(p.origin for p in twins)}"))
        modules.setdefault(plugin.entry_point.module.partition(".")[0], plugin.origin)
        try:
            plugin.load()
        except (PluginError, SystemExit) as error:
            problems.append(Problem(plugin.label, one_line(error)))
    modules.pop("maia_core", None)
    for package, origin in modules.items():
        problems += [Problem(origin, line, warning=True) for line in private_imports(package)]
    return problems
