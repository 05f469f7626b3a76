"""Discovery from installed metadata: listing imports nothing, a plugin is imported when it is used."""

from __future__ import annotations

import copy
import functools
import re
import traceback
from collections.abc import Container, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any, NamedTuple

from maia_core import API, __version__
from maia_core.errors import MaiaError, PluginError, did_you_mean, one_line
from maia_core.kinds import KINDS, distribution_of

_KIND_OF = {kind.group: kind.name for kind in KINDS.values()}
_NAME = re.compile(r"[\w.@/-]+")
_CORE = re.compile(r"maia[-_.]core(?![\w.-])", re.IGNORECASE)
_FIELD = re.compile(r"^([\w-]+):(.*)$", re.MULTILINE)


class Plugin(NamedTuple):
    """One entry point, as its distribution's metadata describes it."""

    kind: str
    name: str
    distribution: str
    version: str
    summary: str
    entry_point: metadata.EntryPoint
    requires_core: str = ""
    """The distribution's requirement on maia-core, as written; empty if it has none."""

    @property
    def origin(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}"

    @property
    def label(self) -> str:
        """Kind, name and origin, for messages."""
        return f"{self.kind} '{self.name}' ({self.origin})"

    @property
    def skew(self) -> str:
        """Why the plugin does not fit this core, and which of them to upgrade; empty if it fits."""
        if not self.requires_core:
            return ""
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import Version

        try:
            specifiers = Requirement(self.requires_core).specifier
        except InvalidRequirement:
            return f"{self.origin} has an unreadable requirement: {self.requires_core}; reinstall it"
        failed = [each for each in specifiers if not each.contains(__version__, prereleases=True)]
        if not failed:
            return ""
        newer = any(Version(each.version.removesuffix(".*")) > Version(__version__) for each in failed)
        upgrade = "maia-core" if newer else self.distribution
        return (
            f"{self.origin} needs {self.requires_core}, this is {__version__} (plugin API {API}); "
            f"upgrade {upgrade}: pip install --upgrade {upgrade}"
        )

    def load(self) -> Any:
        """Imports the plugin and returns its factory.

        Raises:
            PluginError: made for another core, or its import fails; names the distribution, version and cause.
        """
        if self.skew:
            raise PluginError(f"{self.kind} '{self.name}': {self.skew}")
        try:
            return self.entry_point.load()
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.kind} '{self.name}' of {self.origin} cannot be loaded: {self._cause(error)}"
            ) from error

    def _cause(self, error: BaseException) -> str:
        if isinstance(error, ImportError) and (error.name or "").startswith("maia_core"):
            # A plugin for an older layout of the core; the doctor names each import.
            return f"{one_line(error)}; import from maia_core.plugin (`maia doctor` prints the lines to write)"
        # An entry point of an editable install is stale where the source has moved.
        own = isinstance(error, ImportError) and (error.name or "").startswith(self.entry_point.module.split(".")[0])
        reinstall = own or isinstance(error, AttributeError)
        return f"{one_line(error)}; {'reinstall it' if reinstall else 'fix or uninstall it'}"


class Registry:
    """The plugins of the installed distributions."""

    def __init__(self, distributions: Iterable[metadata.Distribution] | None = None) -> None:
        """Reads the metadata of `distributions`, or of everything that is installed; imports nothing."""
        order = list(KINDS)
        plugins = sorted(
            _scan(metadata.distributions() if distributions is None else distributions),
            key=lambda p: (order.index(p.kind), p.name, p.distribution),
        )
        # Names are printed in many places: none may hold characters that a terminal obeys. The doctor names the others.
        self.plugins = [plugin for plugin in plugins if _NAME.fullmatch(plugin.name)]
        self.misnamed = [plugin for plugin in plugins if not _NAME.fullmatch(plugin.name)]

    def without_observers(self, names: Container[str]) -> Registry:
        """Returns a registry with the same plugins, but for observers of these names."""
        left = copy.copy(self)
        left.plugins = [p for p in self.plugins if p.kind != "observer" or p.name not in names]
        return left

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
            raise PluginError(f"{kind} '{name}' is in {' and '.join(p.origin for p in found)}; choose {choices}")
        return found[0] if found else None

    def get(self, kind: str, name: str) -> Plugin:
        """Like `find`.

        Raises:
            PluginError: there is no such plugin; names the distribution to install, the nearest name, or all names.
        """
        if (plugin := self.find(kind, name)) is None:
            raise self.missing(name, kind)
        return plugin

    def missing(self, name: str, *kinds: str) -> PluginError:
        """Returns the error that no plugin of these kinds has this name."""
        known = sorted({p.name for kind in kinds for p in self.of_kind(kind)})
        what = " or ".join(kinds)
        text = f"there is no {what} '{name}'"
        for kind in kinds:
            if distribution := distribution_of(kind, name.partition("@")[0]):
                return PluginError(f"{text}; install it: pip install {distribution}")
            if "/" in name and distribution_of(kind, "litellm"):
                return PluginError(f"{text}: this names a model; choose --{kind} litellm -o {kind}.model={name}")
        installed_here = f" Installed: {', '.join(known)}." if known else f" No {what} is installed."
        return PluginError(f"{text}.{did_you_mean(name, known) or installed_here}")

    def defaults_of(self, task: str) -> dict[str, Any]:
        """Returns the parts that the factory of a task prefers, by their keys in a `RunConfig`.

        Raises:
            PluginError: the task's plugin is ambiguous or broken.
        """
        plugin = self.find("task", task)
        return dict(getattr(plugin.load(), "defaults", {})) if plugin else {}

    def culprit(self, error: BaseException) -> str:
        """Names the plugin, or at least its distribution, in whose code an error arose; empty if it was in none."""
        plugins = [plugin for plugin in self.plugins if plugin.kind not in ("command", "observer")]
        for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
            module = str(frame.f_globals.get("__name__"))
            near = [p for p in plugins if p.entry_point.module.partition(".")[0] == module.partition(".")[0]]
            exact = [plugin for plugin in near if plugin.entry_point.module == module]
            if near:
                return exact[0].label if len(exact) == 1 else near[0].origin
        return ""

    def build(self, kind: str, name: str, options: Mapping[str, Any], context: object) -> Any:
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


def plugin_config(factory: Any, options: Mapping[str, Any], where: str) -> Any:
    """Validates a plugin's options against its nested `Config`; a plugin without one has no options."""
    from maia_core.config import PluginConfig, validated

    return validated(getattr(factory, "Config", PluginConfig), options, where)


@functools.cache
def installed() -> Registry:
    """The registry of what is installed, scanned once per process."""
    return Registry()


def _scan(distributions: Iterable[metadata.Distribution]) -> Iterator[Plugin]:
    seen = set()
    for distribution in distributions:
        try:
            # Most distributions have no plugins of ours; parsing each one's metadata would double the time of `--help`.
            if "maia." not in (distribution.read_text("entry_points.txt") or ""):
                continue
            about = dict(fields := _metadata(distribution))
            name, version, summary = (about.get(field, "").strip() for field in ("Name", "Version", "Summary"))
            # The first of several copies on sys.path is the one that Python imports.
            if not name or name.lower() in seen:
                continue
            seen.add(name.lower())
            entry_points = [e for e in distribution.entry_points if e.group in _KIND_OF]
            requires = (value.partition(";")[0].strip() for field, value in fields if field == "Requires-Dist")
            requires_core = next(filter(_CORE.match, requires), "")
        except Exception:
            continue  # A distribution whose metadata cannot be read has no plugins that could be named.
        for point in entry_points:
            yield Plugin(_KIND_OF[point.group], point.name, name, version, summary, point, requires_core)


def _metadata(distribution: metadata.Distribution) -> list[tuple[str, str]]:
    """Returns fields of a distribution and their values; `distribution.metadata` takes five times as long to parse."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    return _FIELD.findall(text.partition("\n\n")[0])
