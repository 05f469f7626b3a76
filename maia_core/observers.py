"""Tells the observers what happens; an observer that fails is named and never ends a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from maia_core import hookspecs
from maia_core.errors import one_line
from maia_core.registry import Plugin, Registry


class Observers:
    """The observers of a run, loaded once.

    Attributes:
        problems: What went wrong, in one line each, since `take_problems` was called last.
    """

    def __init__(self, registry: Registry | None = None, extra: Iterable[object] = ()) -> None:
        """Loads the installed observers one by one; one that cannot be loaded is kept in `problems`.

        Args:
            registry: Where observers are found; None for none.
            extra: Observer objects beside the installed ones, such as a progress display.
        """
        self.problems: list[str] = []
        self._manager = pluggy.PluginManager("maia")
        self._manager.add_hookspecs(hookspecs)
        for plugin in registry.of_kind("observer") if registry else ():
            self._register(plugin, f"observer '{plugin.name}' of {plugin.origin}")
        for number, observer in enumerate(extra, 1):
            self._register(observer, f"observer {number}, {type(observer).__name__}")

    def _register(self, source: object, label: str) -> None:
        try:
            loaded = source.load() if isinstance(source, Plugin) else source
            observer = loaded() if isinstance(loaded, type) else loaded
            self._manager.register(observer, name=label)
            self._manager.check_pending()
        except (Exception, SystemExit) as error:
            self._manager.set_blocked(label)
            self._manager.unregister(name=label)
            self.problems.append(f"{label} is left out: {one_line(error)}")

    def joined_by(self, extra: Iterable[object]) -> Observers:
        """Returns these observers and others."""
        observers = Observers(extra=extra)
        for label, observer in self._manager.list_name_plugin():
            observers._register(observer, label)
        observers.problems += self.take_problems()
        return observers

    def wrap(self, part: Any, **arguments: Any) -> Any:
        """Calls `part_built` of every observer in turn; each gets the part that the one before has returned."""
        for implementation in self._manager.hook.part_built.get_hookimpls():
            replacement = self._call("part_built", implementation, {**arguments, "part": part})
            part = part if replacement is None else replacement
        return part

    def tell(self, hook: str, **arguments: Any) -> list[Any]:
        """Calls one hook of every observer, and returns what they returned, None left out.

        pluggy's own call stops at the first observer that raises; here each is called by itself.
        """
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        return [result for each in implementations if (result := self._call(hook, each, arguments)) is not None]

    def _call(self, hook: str, implementation: pluggy.HookImpl, arguments: Mapping[str, Any]) -> Any:
        try:
            return implementation.function(**{name: arguments[name] for name in implementation.argnames})
        except (Exception, SystemExit) as error:
            self.problems.append(f"{implementation.plugin_name} failed in {hook}: {one_line(error)}")
            return None

    def take_problems(self) -> list[str]:
        """Returns and forgets what went wrong since the last call."""
        problems, self.problems = self.problems, []
        return problems
