"""Adds the table of class by environment to the report of a `spurious-feature` run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from maia_core.plugin import RunReader, hookimpl
from maia_spurious.cells import mentioned

if TYPE_CHECKING:
    from maia_report.sections import HeatMap

TITLE = "Activation by class and environment"


@hookimpl
def report_sections(run: RunReader) -> tuple[str, HeatMap] | None:
    """Returns the mean activation of all generated and edited images that programs measured, by what they show."""
    task = run.manifest.config.get("task")
    if not isinstance(task, dict) or task.get("name") != "spurious-feature":
        return None
    from maia_report.sections import HeatMap, edits, measured

    classes, environments = _names(task.get("classes")), _names(task.get("environments"))
    changed: dict[str, str] = {}
    for original, edited, instruction in edits(run):
        changed[edited.id] = f"{changed.get(original.id, original.title)}, {instruction}"
    cells: dict[tuple[str, str], list[float]] = {}
    for key, (activation, image) in measured(run).items():
        text = changed.get(key, image.title)
        kind, environment = last_named(text, classes), last_named(text, environments)
        if kind and environment:
            cells.setdefault((kind, environment), []).append(activation)
    if not cells:
        return None
    values = [[cells.get((kind, environment), []) for environment in environments] for kind in classes]
    return TITLE, HeatMap(
        classes,
        environments,
        [[sum(cell) / len(cell) if cell else None for cell in row] for row in values],
        [[len(cell) for cell in row] for row in values],
        "Mean activation of the images that programs measured, by the class and the environment that their prompts or "
        "edits name last; small: the number of images. A unit for a class is active in one row, a unit for an "
        "environment in one column.",
    )


def last_named(text: str, names: Sequence[str]) -> str:
    """Returns the name that a text mentions last; empty where it mentions none."""
    ends = mentioned(text, names)
    return max(ends, key=lambda name: (ends[name], len(name)), default="")


def _names(value: object) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []
