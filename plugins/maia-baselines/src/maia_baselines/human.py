"""The explainer `human`: labels that people wrote, from a file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from maia_core.plugin import Explanation, PluginConfig, RunContext, System, UsageError, decoded, did_you_mean, printable

FORM = 'a .csv file with the columns unit and label, or a .json file such as {"MODEL:LAYER:UNIT": "label"}'


COLUMNS = ("unit", "label", "description")
"""The columns of a table, and the keys of an entry."""

MAX_NAME = 80
"""Longest name of an unknown column in an error."""


class Entry(NamedTuple):
    """What a file says of one unit.

    Attributes:
        unit: The unit's reference, as on the command line.
        labels: Its labels.
        description: More words, if there are any.
        where: The line or entry, for messages.
    """

    unit: str
    labels: tuple[str, ...]
    description: str
    where: str


class Human:
    """Returns the labels that a file has for a unit; nothing is measured."""

    class Config(PluginConfig):
        """Which file."""

        file: str = ""
        """A `.csv` file with the columns `unit` and `label` (and `description`, if you like), or a `.json` file: an
        object of units and labels, or a list of objects with `unit` and `label`."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Reads the whole file, so that the command reports its mistakes before it measures anything.

        Raises:
            UsageError: there is no such file, or it cannot be used; the message names the line.
        """
        if not config.file:
            raise UsageError(f"the explainer 'human' needs its labels: set its option 'file' to {FORM}")
        self.path = Path(config.file).expanduser()
        self._entries = read(self.path)

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains one unit; it may stand in the file by its reference or, as on the command line, by its choice.

        Raises:
            UsageError: the file has no label for it.
        """
        chosen = context.config.system.name if context.config.system else ""
        for name in (chosen, unit.info.ref):
            if entry := self._entries.get(name):
                description = entry.description or f"A person says: {', '.join(entry.labels)}."
                details = {"file": self.path.name}
                return Explanation(description=description, labels=entry.labels, details=details)
        name = chosen or unit.info.ref
        raise UsageError(
            f"{self.path} has no label for {name}, only for {len(self._entries)} other units."
            f"{did_you_mean(name, self._entries)}"
        )

    def missing(self, units: list[str]) -> list[str]:
        """Returns those of `units` (references) that the file has no label for."""
        return [unit for unit in units if unit not in self._entries]


def read(path: Path) -> dict[str, Entry]:
    """Reads a file of labels, by unit.

    Raises:
        UsageError: it is missing or malformed, holds no label or an empty one, or two entries for one unit.
    """
    if path.suffix not in (".csv", ".json"):
        raise UsageError(f"labels come from {FORM}, not from {path}")
    try:
        text = decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the labels {path}: {getattr(error, 'strerror', None) or error}") from error
    entries: dict[str, Entry] = {}
    for entry in _csv(text, path) if path.suffix == ".csv" else _json(text, path):
        if not entry.unit:
            raise UsageError(f"{path}, {entry.where}: the unit is empty; write MODEL:LAYER:UNIT")
        if not entry.labels or not all(entry.labels):
            raise UsageError(
                f"{path}, {entry.where}: the label of {entry.unit} is empty; write one or leave out the unit"
            )
        if before := entries.get(entry.unit):
            raise UsageError(f"{path}: {entry.unit} has two entries, {before.where} and {entry.where}; keep one")
        entries[entry.unit] = entry
    if not entries:
        raise UsageError(f"{path} holds no label; it must be {FORM}")
    return entries


def _csv(text: str, path: Path) -> Iterator[Entry]:
    # Excel writes semicolons where a comma is the decimal mark; its line `sep=;` says so.
    stated = re.match(r"sep=(.)\r?\n", text)
    first = text.partition("\n")[0]
    mark = stated[1] if stated else next((mark for mark in ";\t" if mark in first and "," not in first), ",")
    reader = csv.DictReader(io.StringIO(text[stated.end() if stated else 0 :], newline=""), strict=True, delimiter=mark)
    try:
        names = [name.strip().casefold() for name in reader.fieldnames or ()]
        if missing := {"unit", "label"} - set(names):
            raise UsageError(f"{path} has no column '{max(missing)}'; its first line must name unit and label")
        if twice := [name for name in COLUMNS if names.count(name) > 1]:
            raise UsageError(f"{path} has the column '{twice[0]}' twice; keep one")
        if other := next((name for name in names if name and name not in COLUMNS), None):
            raise UsageError(_unknown(f"{path}: unknown column", other))
        for row in reader:
            cells = {(key or "").strip().casefold(): value for key, value in row.items()}
            if None in row:
                raise UsageError(f"{path}, line {reader.line_num}: more cells than columns; quote a label with a comma")
            if any(cells.values()):
                yield _entry(cells["unit"], cells["label"], cells.get("description"), f"line {reader.line_num}")
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}") from error


def _json(text: str, path: Path) -> Iterator[Entry]:
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if isinstance(found, _Pairs):
        rows: list[Any] = [_Pairs([("unit", unit), ("label", label)]) for unit, label in found.pairs]
    elif isinstance(found, list):
        rows = found
    else:
        raise UsageError(f"{path} holds neither an object nor a list; it must be {FORM}")
    for number, row in enumerate(rows, start=1):
        names = [name for name, _ in row.pairs] if isinstance(row, _Pairs) else []
        if not {"unit", "label"} <= set(names) or len(set(names)) < len(names):
            hint = next((f"; {_unknown('unknown key', name)}" for name in names if name not in COLUMNS), "")
            raise UsageError(f"{path}, entry {number}: it needs 'unit' and 'label', each once{hint}")
        if other := next((name for name in names if name not in COLUMNS), None):
            raise UsageError(_unknown(f"{path}, entry {number}: unknown key", other))
        cells = dict(row.pairs)
        yield _entry(cells["unit"], cells["label"], cells.get("description"), f"entry {number}")


def _unknown(what: str, name: str) -> str:
    allowed = f" Allowed: {', '.join(COLUMNS)}."
    return f"{what} '{printable(name[:MAX_NAME])}'.{did_you_mean(name, COLUMNS) or allowed}"


class _Pairs:
    """An object of JSON, with the keys that occur twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _entry(unit: Any, label: Any, description: Any, where: str) -> Entry:
    labels = label if isinstance(label, list) else [label]
    return Entry(_text(unit), tuple(map(_text, labels)), _text(description), where)


def _text(value: Any) -> str:
    """Returns a cell as one printable line; a value that is not text counts as empty."""
    return printable(" ".join(value.split())) if isinstance(value, str) else ""
