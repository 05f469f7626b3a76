"""The plugins that a configuration chooses, found by name in installed metadata: nothing is built or loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from maia_core.plugin import ENGINES, KINDS, NONE, Context, Registry, RunConfig, plugin_config


class ChosenPlugin(NamedTuple):
    """One plugin that a configuration chooses."""

    key: str
    """The key that chooses it: a kind, or `tools`."""
    kind: str
    """Its kind: a `system` is made by a model plugin or a system plugin."""
    name: str
    options: dict[str, Any]
    """Its options as written, and those that its reference holds: `torchvision/resnet18` is the option `model`."""

    def config(self, registry: Registry, source: str = "") -> Any:
        """Imports the plugin, and returns its validated options.

        Args:
            registry: Where it is found.
            source: Where the options come from, for messages.

        Raises:
            PluginError: it is missing, broken or made for another core.
            UsageError: an option is unknown or has a wrong value.
        """
        factory = registry.get(self.kind, self.name).load()
        return plugin_config(factory, self.options, f"options of {self.kind} '{self.name}'{source}")


def chosen_plugins(config: RunConfig, registry: Registry) -> Iterator[ChosenPlugin]:
    """Yields the plugins that a configuration chooses; a default that is not installed is left out.

    Raises:
        PluginError: the system's name is neither that of a model nor of a system.
    """
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
        kind = "model" if Context(config, registry).made_by_model(ref.name) else "system"
        named = {"model": variant} if kind == "model" else {"ref": unit}
        yield ChosenPlugin(key, kind, name, ref.options | {key: value for key, value in named.items() if value})
    for tool in config.tools:
        yield ChosenPlugin("tools", "tool", tool.name, tool.options)


def check_names(config: RunConfig, registry: Registry) -> list[ChosenPlugin]:
    """Checks the names of all chosen plugins, and returns the plugins.

    Raises:
        PluginError: a plugin is missing, ambiguous or made for another core.
    """
    chosen = list(chosen_plugins(config, registry))
    for plugin in chosen:
        registry.get(plugin.kind, plugin.name)
    return chosen
