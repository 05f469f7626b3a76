"""Checks the plugins that a configuration chooses, before a command builds or creates anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from maia_cli.sources import Sources

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig
    from maia_runs.chosen import ChosenPlugin


def check_names_and_options(config: RunConfig, *, one_unit: bool = True) -> None:
    """Checks the names of all chosen plugins, then their options, then the unit where the model's plugin knows its own.

    A plugin of models may have `check_unit(options, unit)`, which raises a `UsageError` without loading anything, and
    `models()`, the names of many models of which the option `model` chooses one.

    Args:
        config: The configuration.
        one_unit: Whether its system is one unit, not the layers, ranges or words of a sweep.

    Raises:
        PluginError: a plugin is missing, broken or made for another core.
        UsageError: an option is unknown or has a wrong value, or there is no such model, layer or unit.
    """
    from maia_core.plugin import installed
    from maia_runs.chosen import check_names

    context = click.get_current_context(silent=True)
    sources = Sources.of_command() if context and Sources.__name__ in context.meta else None
    for plugin in check_names(config, installed()):
        options = plugin.config(installed(), _source(plugin, sources))
        if plugin.kind == "model":
            factory, unit = installed().get("model", plugin.name).load(), config.system.name if config.system else ""
            _check_model(plugin.name, factory, options, unit.partition(":")[2] if one_unit else "")


def _check_model(name: str, factory: Any, options: Any, unit: str) -> None:
    from maia_core.plugin import UsageError

    if hasattr(factory, "models") and getattr(options, "model", None) == "":
        raise UsageError(f"{name} stands for many models: write {name}/NAME; `maia systems list {name}` lists them")
    if hasattr(factory, "check_unit"):
        factory.check_unit(options, unit)


def _source(plugin: ChosenPlugin, sources: Sources | None) -> str:
    """Returns where the options of a plugin come from, for messages."""
    origins = {sources.of(f"{plugin.key}.{name}", plugin.key) for name in plugin.options} if sources else set()
    files = sorted(origins - {"option", "default"})
    return f" ([{plugin.key}] of {files[0]}{' or -o' if 'option' in origins else ''})" if files else ""
