"""Checks the plugins that a configuration chooses, before a command builds or creates anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from maia_cli.sources import Sources

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig
    from maia_runs.chosen import ChosenPlugin


def check_names_and_options(config: RunConfig) -> None:
    """Checks the names of all chosen plugins, then their options.

    Raises:
        PluginError: a plugin is missing, broken or made for another core.
        UsageError: an option is unknown or has a wrong value.
    """
    from maia_core.plugin import installed
    from maia_runs.chosen import check_names

    context = click.get_current_context(silent=True)
    sources = Sources.of_command() if context and Sources.__name__ in context.meta else None
    for plugin in check_names(config, installed()):
        plugin.config(installed(), _source(plugin, sources))


def _source(plugin: ChosenPlugin, sources: Sources | None) -> str:
    """Returns where the options of a plugin come from, for messages."""
    origins = {sources.of(f"{plugin.key}.{name}", plugin.key) for name in plugin.options} if sources else set()
    files = sorted(origins - {"option", "default"})
    return f" ([{plugin.key}] of {files[0]}{' or -o' if 'option' in origins else ''})" if files else ""
