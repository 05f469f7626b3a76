"""The plugins that a configuration chooses, found by name in installed metadata: nothing is built or loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from maia_cli.sources import Sources

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig


class ChosenPlugin(NamedTuple):
    """One plugin that a configuration chooses."""

    key: str
    """The key that chooses it: a kind, or `tools`."""
    kind: str
    """Its kind: a `system` is made by a model plugin or a system plugin."""
    name: str
    options: dict[str, Any]
    """Its options as written, and those that its reference holds: `torchvision/resnet18` is the option `model`."""

    def config(self, sources: Sources | None = None) -> Any:
        """Imports the plugin, and returns its validated options.

        Args:
            sources: Where the values come from, for messages.

        Raises:
            PluginError: it is missing, broken or made for another core.
            UsageError: an option is unknown or has a wrong value.
        """
        from maia_core.plugin import installed, plugin_config

        factory = installed().get(self.kind, self.name).load()
        where = f"options of {self.kind} '{self.name}'"
        origins = {sources.of(f"{self.key}.{name}", self.key) for name in self.options} if sources else set()
        if files := sorted(origins - {"option", "default"}):
            where += f" ([{self.key}] of {files[0]}{' or -o' if 'option' in origins else ''})"
        return plugin_config(factory, self.options, where)


def chosen_plugins(config: RunConfig) -> Iterator[ChosenPlugin]:
    """Yields the plugins that a configuration chooses; a default that is not installed is left out.

    Raises:
        PluginError: the system's name is neither that of a model nor of a system.
    """
    from maia_core.plugin import ENGINES, KINDS, NONE, Context, RunConfig, installed

    registry = installed()
    for key in (kind.name for kind in KINDS.values() if kind.has_option):
        ref = getattr(config, key)
        if ref is None or (key in ENGINES and ref.name == NONE):
            continue
        if ref == RunConfig.model_fields[key].default and not registry.find(key, ref.name):
            continue
        if key != "system":
            yield ChosenPlugin(key, key, ref.name, ref.options)
            continue
        made_by, _, unit = ref.name.partition(":")
        name, _, variant = made_by.partition("/")
        kind = "model" if Context(config).made_by_model(ref.name) else "system"
        named = {"model": variant} if kind == "model" else {"ref": unit}
        yield ChosenPlugin(key, kind, name, ref.options | {key: value for key, value in named.items() if value})
    for tool in config.tools:
        yield ChosenPlugin("tools", "tool", tool.name, tool.options)


def check_names_and_options(config: RunConfig) -> None:
    """Checks the names of all chosen plugins, then their options.

    Raises:
        PluginError: a plugin is missing, broken or made for another core.
        UsageError: an option is unknown or has a wrong value.
    """
    from maia_core.plugin import installed

    context = click.get_current_context(silent=True)
    sources = Sources.of_command() if context and Sources.__name__ in context.meta else None
    chosen = list(chosen_plugins(config))
    for plugin in chosen:
        installed().get(plugin.kind, plugin.name)
    for plugin in chosen:
        plugin.config(sources)
