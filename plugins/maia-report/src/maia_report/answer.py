"""What a page shows of the answer beside its labels: strengths, further parts, records; and nested values as lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maia_core.plugin import HostCall, RunReader
from maia_report.summary import RunSummary
from maia_report.text import brief

MAX_RECORDS, MAX_FIELDS = 200, 12
"""Rows and columns of a table of the answer: MAIA counts further rows, and draws no table of a wider value."""


@dataclass(frozen=True)
class Records:
    """A part of the answer that is a list of flat objects: a row an object."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int


def arguments_of(call: HostCall, run: RunReader) -> str:
    """Writes a call as a program would, images as their titles."""
    try:
        value = run.value(call.arguments)
        positional = [_argument(argument) for argument in value["args"]]
        named = [f"{name}={_argument(argument)}" for name, argument in value["kwargs"].items()]
    except Exception:  # A record from elsewhere may hold anything here: show it as it is.
        return brief(call.arguments)
    return ", ".join([*positional, *named])


def _argument(value: Any) -> str:
    # A system that a program hands to a tool is recorded as this text.
    return "system" if value == "system" else brief(value, 240)


def flat(config: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Lists a nested configuration as dotted keys and values."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, dict) and value:
            rows += [(prefix + key, str(value["name"]))] if set(value) == {"name"} else flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and all(isinstance(item, dict) and set(item) == {"name"} for item in value):
            rows.append((prefix + key, ", ".join(str(item["name"]) for item in value)))
        else:
            rows.append((prefix + key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows


def extras_of(summary: RunSummary, sections: Sequence[str]) -> tuple[list[tuple[str, str]], list[Records]]:
    """Returns the parts of the answer that are neither description nor label: as lines, and lists of records.

    Parts that the verdict tests by the same name, and those that a section of the page has as its title, are left out.
    """
    if summary.outcome is None:
        return [], []
    details = dict(summary.outcome.answer)
    if explanation := summary.outcome.explanation:
        details |= explanation.details
    # What the page says at its top already, under whatever name a task gives it, is not said again.
    description = summary.outcome.explanation.description if summary.outcome.explanation else ""
    tested = summary.verdict.details if summary.verdict else {}
    shown = {"description", "labels", "strengths", *tested, *map(str.casefold, sections)}
    rest = {key: value for key, value in details.items() if key not in shown and value != description}
    tables = {key: table for key, value in rest.items() if (table := _records(key, value))}
    lines = [(key, _cell(value, 4000)) for key, value in rest.items() if key not in tables]
    return lines, list(tables.values())


def strengths_of(summary: RunSummary) -> list[tuple[str, float]]:
    """Returns the labels with how strongly each drives the unit, strongest first; nothing where none is stated."""
    explanation = summary.outcome.explanation if summary.outcome else None
    pairs = zip(explanation.labels, explanation.strengths, strict=False) if explanation else ()
    return sorted(pairs, key=lambda pair: -pair[1])


def _records(name: str, value: object) -> Records | None:
    """Returns a list of flat objects as a table, None for anything else."""
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) and row for row in value):
        return None
    columns = list(dict.fromkeys(column for row in value for column in row))
    flat = not any(isinstance(cell, list | dict) for row in value for cell in row.values())
    if not flat or len(columns) > MAX_FIELDS:
        return None
    rows = [[_cell(row[column], 1000) if column in row else "" for column in columns] for row in value[:MAX_RECORDS]]
    return Records(name, columns, rows, len(value) - len(rows))


def _cell(value: object, most: int) -> str:
    return value if isinstance(value, str) else brief(value, most)
