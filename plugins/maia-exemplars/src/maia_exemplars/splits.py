"""Held-out splits: an evaluation draws from a part of the data that nothing was made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from maia_core.plugin import PluginConfig, PluginRef, Registry, RunConfig


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


def parted(config: RunConfig, kinds: Sequence[str], option: str, value: str, registry: Registry) -> RunConfig:
    """Sets an option of the chosen parts, where they have it with this value, and it was not set."""
    chosen = {kind: with_option(kind, getattr(config, kind), option, value, registry) for kind in kinds}
    return config.model_copy(update=chosen)


def held_out_dataset(config: RunConfig, registry: Registry) -> PluginRef | None:
    """Returns the run's data set with its held-out split and cut-outs that nothing saw; None if it has no split."""
    if "held-out" not in option_values("dataset", config.dataset, "split", registry):
        return None
    options = {key: value for key, value in config.dataset.options.items() if key not in ("split", "cutouts")}
    real = config.model_copy(update={"dataset": PluginRef(name=config.dataset.name, split="held-out", **options)})
    return parted(real, ["dataset"], "cutouts", "held-out", registry).dataset
