"""Held-out splits: an evaluation draws from a part of the data that nothing was made from."""

from __future__ import annotations

from typing import Any, get_args

from maia_core.plugin import PluginConfig, PluginRef, Registry


def option_values(kind: str, choice: PluginRef, option: str, registry: Registry) -> tuple[Any, ...]:
    """Returns the values that an option of a plugin may have, where these are listed; nothing where it has none."""
    plugin = registry.find(kind, choice.name)
    if plugin is None:
        return ()
    fields = getattr(plugin.load(), "Config", PluginConfig).model_fields
    return get_args(fields[option].annotation) if option in fields else ()


def with_option(kind: str, choice: PluginRef, option: str, value: str, registry: Registry) -> PluginRef:
    """Returns a choice with an option set; as it was where the plugin has no such value, or the option is set."""
    if option in choice.options or value not in option_values(kind, choice, option, registry):
        return choice
    return PluginRef.model_validate({**choice.model_dump(), option: value})
