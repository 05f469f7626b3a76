"""What an evaluation or a check may draw with, so that nothing is tested on what it was made from."""

from __future__ import annotations

from typing import Any, get_args

from maia_core.config import Choice, PluginConfig
from maia_core.registry import Registry


def allowed(kind: str, choice: Choice, option: str, registry: Registry) -> tuple[Any, ...]:
    """Returns the values that an option of a plugin may have, where these are listed; nothing where it has none."""
    plugin = registry.find(kind, choice.name)
    if plugin is None:
        return ()
    fields = getattr(plugin.load(), "Config", PluginConfig).model_fields
    return get_args(fields[option].annotation) if option in fields else ()


def narrowed(kind: str, choice: Choice, option: str, value: str, registry: Registry) -> Choice:
    """Returns a choice with an option set; as it was where the plugin has no such value, or the option is set."""
    if option in choice.options or value not in allowed(kind, choice, option, registry):
        return choice
    return Choice.model_validate({**choice.model_dump(), option: value})
