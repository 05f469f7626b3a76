"""The table of the kinds of plugins: entry-point group, protocol, scope, and how a user chooses one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple


class Kind(NamedTuple):
    """One kind of plugin.

    Attributes:
        name: Names the kind in messages, and where `has_option` its key in a configuration.
        group: Its entry-point group.
        protocol: The protocol of `maia_core.protocols` that a plugin implements, or the base of a command or observer.
        scope: `run`: each run has one, made for that run. `shared`: each run has one, and runs of several units share
            it. `many`: made by name, any number. `installed`: in force once it is installed.
        choose: Tells a user how to choose the plugin `{name}`, of the kind `{kind}`.
        early: Whether it is built before the first question, so that a missing file costs no paid turn.
    """

    name: str
    group: str
    protocol: str
    scope: Literal["run", "shared", "many", "installed"]
    choose: str = "choose with --{kind} {name}, options with -o {kind}.OPTION=VALUE"
    early: bool = False

    @property
    def has_option(self) -> bool:
        """Whether a run has one of this kind, which `--KIND NAME` and the configuration's key choose."""
        return self.scope in ("run", "shared")


KINDS = {
    kind.name: kind
    for kind in (
        Kind("model", "maia.models", "Model", "many",
             "choose with --system {name}:LAYER:UNIT, options with -o system.OPTION=VALUE"),
        Kind("system", "maia.systems", "System", "run", early=True),
        Kind("tool", "maia.tools", "Tool", "many",
             'choose in maia.toml: tools = ["{name}", ...], with options: { name = "{name}", OPTION = VALUE }'),
        Kind("generator", "maia.generators", "ImageGenerator", "shared", early=True),
        Kind("editor", "maia.editors", "ImageEditor", "shared", early=True),
        Kind("describer", "maia.describers", "Describer", "shared", early=True),
        Kind("dataset", "maia.datasets", "Dataset", "shared", early=True),
        Kind("detector", "maia.detectors", "Detector", "many",
             "choose with -o system.detector.name={name}, where the system takes a detector"),
        Kind("backbone", "maia.backbones", "Backbone", "run", early=True),
        Kind("task", "maia.tasks", "Task", "run"),
        Kind("explainer", "maia.explainers", "Explainer", "many",
             "choose with `maia eval ... --explainer {name}:OPTION=VALUE`"),
        Kind("judge", "maia.judges", "Judge", "shared"),
        Kind("similarity", "maia.similarities", "ImageTextSimilarity", "shared"),
        Kind("verifier", "maia.verifiers", "Verifier", "shared"),
        Kind("sandbox", "maia.sandboxes", "Sandbox", "run"),
        Kind("runner", "maia.runners", "Runner", "many", "choose with `maia sweep ... --runner {name}`"),
        Kind("command", "maia.commands", "click.Command", "installed", "called as `maia {name}`"),
        Kind("observer", "maia.observers", "maia_core.hookspecs", "installed",
             "in force once it is installed; `maia run --without {name}` leaves it out"),
    )
}  # fmt: skip
"""Every kind by its name, in the order in which MAIA lists them. A new kind is one entry here."""

ENGINES = ("generator", "editor", "describer")
"""Kinds that stand behind tools: a run builds those that its tools and its verifier use."""

NONE = "none"
"""Chosen in place of an engine by a run that has none."""


def distribution_of(kind: str, name: str) -> str:
    """Returns the distribution of this project that brings a plugin; empty if none does.

    `known_plugins.json` is written by `docs/generate.py` from the pyproject files.
    """
    import json  # Only an error needs it: importing it would slow the start-up.

    known: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_name("known_plugins.json").read_bytes())
    return next((which for which, kinds in known.items() if name in kinds.get(kind, ())), "")
