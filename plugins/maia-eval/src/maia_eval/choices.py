"""What is evaluated: explainers as they are written on the command line, and units."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, JsonValue

from maia_cli import option_value
from maia_core.plugin import Data, PluginRef, Registry, RunConfig, RunContext, UsageError, did_you_mean, validated
from maia_eval.files import read_text

OF_RUN = "run."
"""Before a key that changes the configuration of the run, and not an option of the explainer."""

_SPEC = re.compile(r"(?:(?P<alias>[\w.-]+)=)?(?P<name>[\w.@-]+)(?::(?P<options>.*))?", re.DOTALL)


class Spec(Data):
    """An explainer of an evaluation.

    Attributes:
        alias: What it is called in the results.
        name: The plugin.
        options: Its options.
        run: Dotted keys of the run's configuration that are set for it alone.
    """

    alias: str
    name: str
    options: dict[str, JsonValue] = Field(default_factory=dict)
    run: dict[str, JsonValue] = Field(default_factory=dict)


def spec(text: str) -> Spec:
    """Reads `NAME`, `NAME:KEY=VALUE,KEY=VALUE` or `ALIAS=NAME:...`; keys that begin with `run.` are the run's.

    Raises:
        UsageError: it is none of these.
    """
    found = _SPEC.fullmatch(text.strip())
    if not found:
        raise UsageError(f"an explainer is NAME, NAME:KEY=VALUE,... or ALIAS=NAME:..., not '{text[:80]}'")
    options: dict[str, JsonValue] = {}
    run: dict[str, JsonValue] = {}
    for part in filter(None, re.split(r",(?=[\w.]+=)", found["options"] or "")):
        if "=" not in part:
            raise UsageError(f"an option of an explainer is KEY=VALUE, not '{part[:80]}'")
        key, value = option_value(part)
        if key.startswith(OF_RUN):
            run[key.removeprefix(OF_RUN)] = value
        else:
            options[key] = value
    return Spec(alias=found["alias"] or found["name"], name=found["name"], options=options, run=run)


def plugin_ref(text: str) -> PluginRef:
    """Reads `NAME` or `NAME:KEY=VALUE,...`.

    Raises:
        UsageError: it is neither.
    """
    read = spec(text)
    return PluginRef(name=read.name, **read.options)


def specs(texts: Sequence[str], registry: Registry) -> list[Spec]:
    """Reads explainers and looks whether each is installed.

    Raises:
        UsageError: one is malformed, not installed, or two have one name.
    """
    found = [spec(text) for text in texts]
    names = [each.alias for each in found]
    known = [plugin.name for plugin in registry.of_kind("explainer")]
    for each in found:
        if registry.find("explainer", each.name) is None:
            hint = (
                did_you_mean(each.name, known)
                or f" Installed: {', '.join(known) or 'none; pip install maia-baselines'}."
            )
            raise UsageError(f"there is no explainer '{each.name}'.{hint}")
        if names.count(each.alias) > 1:
            raise UsageError(
                f"two explainers are called '{each.alias}'; name one of them: other={each.alias}:KEY=VALUE"
            )
    if not found:
        raise UsageError("no explainer is chosen; pass --explainer NAME, once or several times")
    return found


def all_specs(settings: Mapping[str, JsonValue], chosen: Sequence[Spec]) -> list[Spec]:
    """Returns the explainers of an evaluation: those of the command, and those that earlier commands brought."""
    known = {each.alias: each for each in chosen}
    recorded = settings.get("explainers")
    read = [Spec.model_validate(each) for each in recorded] if isinstance(recorded, list) else list(chosen)
    return [known.get(each.alias, each) for each in read]


def adjusted(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Returns a configuration with dotted keys set.

    Raises:
        UsageError: there is no such key, or the value does not fit.
    """
    data = config.model_dump(mode="json")
    for key, value in changes.items():
        *parents, last = key.split(".")
        at = data
        for parent in parents:
            if not isinstance(at.get(parent), dict):
                raise UsageError(f"'{OF_RUN}{key}' cannot be set: there is no table '{parent}'")
            at = at[parent]
        at[last] = value
    return validated(RunConfig, data, "the explainer's options")


def units_in(file: Path) -> list[str]:
    """Reads unit references, one a line; empty lines and what follows `#` are left out.

    Raises:
        UsageError: the file cannot be read, or names none.
    """
    lines = read_text(file, "the units").splitlines()
    found = [line.partition("#")[0].strip() for line in lines]
    if not any(found):
        raise UsageError(f"{file} names no unit; write one MODEL:LAYER:UNIT a line")
    return list(filter(None, found))


def drawn(model: PluginRef, layers: Sequence[str], each: int, seed: int, context: RunContext) -> list[str]:
    """Draws units of a model, the same number from every layer, by seed.

    Raises:
        UsageError: there is no such layer, or it has not so many units.
    """
    known = {layer.name: layer for layer in context.model(model.name, **model.options).layers()}
    names = list(layers) or [name for name, layer in known.items() if layer.kind != "inner"][-4:]
    refs = []
    for number, name in enumerate(names):
        if name not in known:
            raise UsageError(
                f"{model.name} has no layer '{name}'.{did_you_mean(name, known) or ' Layers: ' + ', '.join(known)}"
            )
        count = known[name].units
        if each > count:
            raise UsageError(f"layer '{name}' of {model.name} has {count} units, not {each}")
        chosen = np.random.default_rng([seed, number, count]).choice(count, each, replace=False)
        refs += [f"{model.name}:{name}:{unit}" for unit in sorted(chosen)]
    return refs
