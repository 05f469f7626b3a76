"""Counts the results of engines: a wrong number is a fault of the engine, and the error names it."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

from maia_core.plugin import GeneratedImages, PluginError, RunContext, hookimpl

COUNTED = {
    "generator": ("generate",),
    "editor": ("edit",),
    "describer": ("describe",),
    "detector": ("detect",),
    "similarity": ("similarity",),
    "judge": ("select", "predict"),
    "model": ("activations",),
}
"""Kind of plugin to the methods that return one result for each prompt or image."""
AFTER_THE_LABEL = ("select", "predict")
"""Methods whose first argument is a label."""


@hookimpl(trylast=True)  # MAIA calls it first, so a cache does not come between.
def part_built(kind: str, name: str, part: Any, context: RunContext) -> None:
    """Replaces the methods of an engine by ones that count."""
    plugin = context.registry.find(kind, name)
    label = plugin.label if plugin else f"{kind} '{name}'"
    for method in COUNTED.get(kind, ()):
        with contextlib.suppress(AttributeError, TypeError, ValueError):  # No such method, or it cannot be replaced.
            setattr(part, method, _counted(getattr(part, method), label))


def _counted(function: Callable[..., Any], label: str) -> Callable[..., Any]:
    method, signature = function.__name__, inspect.signature(function)

    @functools.wraps(function)
    def count(*args: Any, **named: Any) -> Any:
        result = function(*args, **named)
        asked = list(signature.bind(*args, **named).arguments.values())
        due = len(asked[method in AFTER_THE_LABEL])
        try:
            counts = {len(part) for part in result} if isinstance(result, GeneratedImages) else {len(result)}
        except TypeError:
            raise PluginError(f"{label} failed in {method}: it returned a {type(result).__name__}") from None
        if counts != {due}:
            returned = " and ".join(map(str, sorted(counts)))
            raise PluginError(f"{label} failed in {method}: it returned {returned} results for {due} inputs")
        return result

    return count
