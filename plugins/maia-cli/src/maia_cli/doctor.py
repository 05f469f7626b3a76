"""`maia doctor`: Find the faults of the installed plugins."""

from __future__ import annotations

import difflib
import inspect
import keyword
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any, NamedTuple

import click

from maia_cli.layout import private_imports
from maia_cli.main import refusal
from maia_core.plugin import KINDS, Plugin, PluginConfig, PluginError, Registry, installed, one_line, printable_line


@click.command()
def doctor() -> int:
    """Find the faults of the installed plugins: import each, and name each fault; exit code 1 if there is one."""
    problems = problems_of(installed())
    for problem in problems:
        click.echo(f"{'warning: ' * problem.warning}{printable_line(problem.plugin)}: {printable_line(problem.cause)}")
    faults = sum(not problem.warning for problem in problems)
    click.echo(f"{len(installed().plugins)} plugins, {faults} problems, {len(problems) - faults} warnings")
    return 1 if faults else 0


class Problem(NamedTuple):
    """A line of `maia doctor`: a fault, or with `warning` something that works today and may not tomorrow."""

    plugin: str
    cause: str
    warning: bool = False


def problems_of(registry: Registry, distributions: Iterable[metadata.Distribution] | None = None) -> list[Problem]:
    """Imports every plugin, one by one, and returns what is wrong with each; no fault stops it.

    Args:
        registry: The plugins.
        distributions: Whose groups of entry points are read; the installed ones where it is None.
    """
    rule = "ignored: a name has letters, digits and _ . @ / - only"
    problems = [Problem(f"{p.kind} {p.name!r} ({p.origin})", rule) for p in registry.misnamed]
    problems += _misspelt_groups(metadata.distributions() if distributions is None else distributions)
    modules: dict[str, str] = {}
    for plugin in registry.plugins:
        refused = refusal(plugin)
        twins = [p for p in registry.of_kind(plugin.kind) if p.name == plugin.name and p is not plugin]
        twins = [p for p in twins if not refusal(p)]
        if refused:
            problems.append(Problem(plugin.label, f"refused: {refused}"))
        elif twins and plugin.kind != "observer":
            problems.append(Problem(plugin.label, f"also claimed by {', '.join(p.origin for p in twins)}"))
        modules.setdefault(plugin.entry_point.module.partition(".")[0], plugin.origin)
        try:
            problems += [Problem(plugin.label, cause) for cause in _faults(plugin, plugin.load())]
        except (PluginError, SystemExit) as error:
            problems.append(Problem(plugin.label, one_line(error)))
    modules.pop("maia_core", None)
    for package, origin in modules.items():
        problems += [Problem(origin, line, warning=True) for line in private_imports(package)]
    return problems


def _misspelt_groups(distributions: Iterable[metadata.Distribution]) -> Iterator[Problem]:
    """Finds groups of entry points that nobody reads and that are nearly named like one of MAIA's."""
    groups = [kind.group for kind in KINDS.values()]
    for distribution in distributions:
        try:
            used = {point.group for point in distribution.entry_points} - set(groups)
            name = f"{distribution.metadata['Name']} {distribution.version}"
        except Exception:
            continue  # Metadata that cannot be read names no group.
        for group in sorted(used):
            near = difflib.get_close_matches(group.lower().replace("_", "."), groups, n=1, cutoff=0.8)
            if near or group.startswith("maia."):
                hint = f"; did you mean '{near[0]}'?" if near else f"; groups: {', '.join(groups)}"
                yield Problem(name, f"MAIA reads no group of entry points '{group}'{hint}")


def _faults(plugin: Plugin, factory: Any) -> Iterator[str]:
    """Returns what is wrong with a plugin that can be imported."""
    if plugin.kind == "tool" and (not plugin.name.isidentifier() or keyword.iskeyword(plugin.name)):
        yield f"programs cannot call tools.{plugin.name}: rename it to an identifier of Python, such as `my_tool`"
    if plugin.kind == "command":
        if not isinstance(factory, click.Command):
            yield f"{plugin.entry_point.value} is not a click command; decorate it with @click.command()"
        return
    if plugin.kind == "observer":
        return
    if not callable(factory):
        yield f"{plugin.entry_point.value} is not a class or function; name the factory that takes (config, context)"
        return
    try:
        inspect.signature(factory).bind(None, None)
    except TypeError as error:
        yield f"{plugin.entry_point.value} cannot be called with (config, context): {error}"
    except ValueError:
        pass  # A factory written in C tells nothing of its arguments.
    config = getattr(factory, "Config", PluginConfig)
    if not (isinstance(config, type) and issubclass(config, PluginConfig)):
        yield f"{plugin.entry_point.value}.Config is not a class derived from maia_core.plugin.PluginConfig"
