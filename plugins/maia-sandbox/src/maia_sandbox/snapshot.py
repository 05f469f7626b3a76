"""Undoes a program's changes of the interpreter. Runs in the child."""

from __future__ import annotations

import builtins
import gc
import sys
import types
from operator import is_

MUTABLE, IMMUTABLE = 1 << 9, 1 << 8
"""Flags of a type: made by Python code; closed to changes all the same."""


def _classes() -> list[type]:
    """Returns all classes that a program could patch."""
    found: dict[type, None] = {}
    waiting: list[type] = [object]
    while waiting:
        cls = waiting.pop()
        if cls not in found:
            found[cls] = None
            waiting += type.__subclasses__(cls)
    return [cls for cls in found if cls.__flags__ & MUTABLE and not cls.__flags__ & IMMUTABLE]


class Snapshot:
    """The contents of all loaded modules and classes, to undo a program's patches for the next one.

    Args:
        parts: Objects whose attributes are put back too.
    """

    def __init__(self, *parts: object) -> None:
        modules = [module for module in sys.modules.values() if isinstance(module, types.ModuleType)]
        self._saved = [(vars(part), dict(vars(part))) for part in (builtins, sys.modules[__name__], *modules, *parts)]
        # A class is read through its mapping proxy; changes must be undone attribute by attribute.
        self._classes = [(cls, vars(cls), dict(vars(cls))) for cls in _classes()]
        # Only the worker's own functions: to compare those of all libraries would take longer than most programs.
        own = [value for spaces in (self._saved, self._classes) for *_, saved in spaces for value in saved.values()]
        functions = [f for f in own if isinstance(f, types.FunctionType) and str(f.__module__).startswith(__package__)]
        self._codes = [(function, function.__code__, function.__defaults__) for function in functions]
        self._modules = dict(sys.modules)
        self._limit = sys.getrecursionlimit()

    def restore(self) -> None:
        """Puts every module back that was changed; the builtins first, since all else needs them."""
        sys.settrace(None)
        sys.setprofile(None)
        live, saved = self._saved[0]
        live.update(saved)
        for live, saved in self._saved:
            if len(live) != len(saved) or not all(map(is_, live.values(), saved.values())):
                for name in set(live) - set(saved):
                    del live[name]
                live.update(saved)
        for cls, now, before in self._classes:
            if len(now) != len(before) or not all(map(is_, now.values(), before.values())):
                for name in set(now) - set(before):
                    type.__delattr__(cls, name)
                for name, value in before.items():
                    if now.get(name) is not value:
                        type.__setattr__(cls, name, value)
        for function, code, defaults in self._codes:
            function.__code__, function.__defaults__ = code, defaults
        sys.modules.update(self._modules)
        gc.callbacks.clear()
        sys.setrecursionlimit(self._limit)
        gc.enable()
