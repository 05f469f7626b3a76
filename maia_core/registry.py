"""Discovery from installed metadata: listing imports nothing, a plugin is imported when it is used."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maia_core import __version__
from maia_core.errors import MaiaError, PluginError, did_you_mean, one_line

if TYPE_CHECKING:
    from maia_core.context import Context

KINDS = (
    *("model", "system", "tool", "generator", "editor", "describer", "dataset", "detector", "backbone", "task"),
    *("explainer", "judge", "similarity", "verifier", "sandbox", "runner", "command", "observer"),
)
GROUPS = {"maia." + re.sub(r"y$", "ie", re.sub(r"x$", "xe", kind)) + "s": kind for kind in KINDS}
"""Entry-point group to kind of plugin."""

_NAME = re.compile(r"[\w.@/-]+")
_CORE = re.compile(r"maia[-_.]core(?![\w.-])", re.IGNORECASE)


@dataclass(frozen=True)
class Plugin:
    """One entry point, as its distribution's metadata describes it."""

    kind: str
    name: str
    distribution: str
    version: str
    summary: str
    entry_point: metadata.EntryPoint = field(repr=False)
    requires_core: str = ""
    """The distribution's requirement on maia-core, as written; empty if it has none."""

    @property
    def origin(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}"

    @property
    def skew(self) -> str:
        """Why this core is not the one that the plugin was made for; empty if it is."""
        if not self.requires_core:
            return ""
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            fits = Requirement(self.requires_core).specifier.contains(__version__, prereleases=True)
        except InvalidRequirement:
            return f"{self.origin} has an unreadable requirement: {self.requires_core}"
        return "" if fits else f"{self.origin} needs {self.requires_core}, this is {__version__}"

    @property
    def about(self) -> str:
        """What the module's docstring says first, read without importing it; the distribution's summary without one."""
        try:
            package, *inner = self.entry_point.module.split(".")
            spec = importlib.util.find_spec(package)
            folder = next(iter((spec and spec.submodule_search_locations) or ()), None)
            if folder is None:
                return self.summary
            with tokenize.open(Path(folder).joinpath(*inner).with_suffix(".py")) as file:
                # Of a file's tokens only the first that is no comment: parsing all would be felt in `maia --help`.
                tokens = tokenize.generate_tokens(file.readline)
                first = next(token for token in tokens if token.type not in (tokenize.COMMENT, tokenize.NL))
            text = str(ast.literal_eval(first.string)) if first.type == tokenize.STRING else ""
        except (AttributeError, ImportError, OSError, SyntaxError, ValueError, tokenize.TokenError):
            text = ""
        return text.strip().partition("\n")[0] or self.summary

    def load(self) -> Any:
        """Imports the plugin and returns its factory.

        Raises:
            PluginError: made for another core, or its import fails; names the distribution, version and cause.
        """
        if self.skew:
            raise PluginError(f"{self.kind} '{self.name}': {self.skew}; upgrade one of them")
        try:
            return self.entry_point.load()
        except (Exception, SystemExit) as error:
            mend = (
                "reinstall it (pip install) if it was edited"
                if isinstance(error, AttributeError)
                else "mend or uninstall it"
            )
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.origin} cannot be loaded: {one_line(error)}; {mend}"
            ) from error


@dataclass(frozen=True)
class Problem:
    """Something that `maia plugins doctor` names."""

    plugin: str
    cause: str


class Registry:
    """The plugins of the installed distributions."""

    def __init__(self, distributions: Iterable[metadata.Distribution] | None = None) -> None:
        """Reads the metadata of `distributions`, or of everything that is installed; imports nothing."""
        found = sorted(
            _scan(metadata.distributions() if distributions is None else distributions),
            key=lambda p: (KINDS.index(p.kind), p.name, p.distribution),
        )
        # Names are printed in many places: none may hold what a terminal obeys.
        self.plugins = [plugin for plugin in found if _NAME.fullmatch(plugin.name)]
        self._misnamed = [plugin for plugin in found if not _NAME.fullmatch(plugin.name)]

    def of_kind(self, kind: str) -> list[Plugin]:
        """Returns the plugins of a kind, sorted by name."""
        return [p for p in self.plugins if p.kind == kind]

    def find(self, kind: str, name: str) -> Plugin | None:
        """Returns the plugin that `name` or `name@distribution` chooses, or None.

        Raises:
            PluginError: two distributions claim the name.
        """
        name, _, distribution = name.partition("@")
        found = [p for p in self.of_kind(kind) if p.name == name and distribution in ("", p.distribution)]
        if len(found) > 1:
            choices = " or ".join(f"'{name}@{p.distribution}'" for p in found)
            raise PluginError(
                f"{kind} '{name}' is claimed by {' and '.join(p.origin for p in found)}; choose {choices}"
            )
        return found[0] if found else None

    def get(self, kind: str, name: str) -> Plugin:
        """Like `find`.

        Raises:
            PluginError: there is no such plugin; names the nearest, or what is installed.
        """
        plugin = self.find(kind, name)
        if plugin is not None:
            return plugin
        known = [p.name for p in self.of_kind(kind)]
        hint = did_you_mean(name, known) or (
            f" Installed: {', '.join(sorted(set(known)))}." if known else f" No {kind} is installed."
        )
        raise PluginError(f"there is no {kind} '{name}'.{hint} Others come with `pip install maia-...`")

    def build(self, kind: str, name: str, options: Mapping[str, Any], context: Context) -> Any:
        """Makes the part that `name` chooses, with its options validated.

        Raises:
            PluginError: missing, ambiguous, broken or made for another core.
            UsageError: an option is unknown or has a wrong value.
        """
        plugin = self.get(kind, name)
        factory = plugin.load()
        config = plugin_config(factory, options, f"options of {kind} '{name}'")
        try:
            return factory(config, context)
        except MaiaError:
            raise
        except Exception as error:
            raise PluginError(f"{kind} '{name}' of {plugin.origin} failed to start: {one_line(error)}") from error

    def problems(self) -> list[Problem]:
        """Imports every plugin, one by one, and names what is wrong with each; nothing that is wrong stops it."""
        why = "left out: a name has letters, digits and _ . @ / - only"
        found = [Problem(f"{p.kind} {p.name!r} ({p.origin})", why) for p in self._misnamed]
        for plugin in self.plugins:
            label = f"{plugin.kind} '{plugin.name}' ({plugin.origin})"
            twins = [p for p in self.of_kind(plugin.kind) if p.name == plugin.name and p is not plugin]
            if twins and plugin.kind != "observer":
                found.append(Problem(label, f"also claimed by {', '.join(p.origin for p in twins)}"))
            try:
                plugin.load()
            except (PluginError, SystemExit) as error:
                found.append(Problem(label, one_line(error)))
        return found


def plugin_config(factory: Any, options: Mapping[str, Any], where: str) -> Any:
    """Validates a plugin's options against its nested `Config`; one without has no options."""
    from maia_core.config import PluginConfig, validated

    return validated(getattr(factory, "Config", PluginConfig), options, where)


@functools.cache
def installed() -> Registry:
    """The registry of what is installed, scanned once a process."""
    return Registry()


def _scan(distributions: Iterable[metadata.Distribution]) -> Iterator[Plugin]:
    seen = set()
    for distribution in distributions:
        try:
            name = distribution.name
            # The first of several copies on sys.path is the one that Python imports.
            if not name or name.lower() in seen:
                continue
            seen.add(name.lower())
            entry_points = [e for e in distribution.entry_points if e.group in GROUPS]
            if not entry_points:
                continue
            summary, version = distribution.metadata["Summary"] or "", distribution.version
            requires_core = _requires_core(distribution.requires or [])
        except Exception:
            continue  # A distribution whose metadata cannot be read has no plugins that could be named.
        for entry_point in entry_points:
            yield Plugin(
                kind=GROUPS[entry_point.group],
                name=entry_point.name,
                distribution=name,
                version=version,
                summary=summary,
                entry_point=entry_point,
                requires_core=requires_core,
            )


def _requires_core(requires: Iterable[str]) -> str:
    wanted = (line.partition(";")[0].strip() for line in requires)
    return next((line for line in wanted if _CORE.match(line)), "")
