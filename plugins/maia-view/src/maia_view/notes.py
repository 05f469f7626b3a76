"""What a person says about a run: a mark and a line, in a file beside the run folder, never in the record."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from maia_core.plugin import Data, UsageError, as_file, open_plain, recordable, write_atomically
from maia_view.rows import RunRow

MARKS = ("right", "wrong", "unclear")
MAX_TEXT, MAX_LABEL, MAX_BYTES = 2000, 400, 16_384
"""Longest line and label in characters, and largest file in bytes."""


class Note(Data):
    """A person's note on a run.

    Attributes:
        mark: Whether the label is right; empty where the person did not say.
        text: A line.
        label: What the label should be, in the person's words; empty where the run's stands.
        changed: Seconds since the epoch.
    """

    mark: Literal["", "right", "wrong", "unclear"] = ""
    text: str = Field("", max_length=MAX_TEXT)
    label: str = Field("", max_length=MAX_LABEL)
    changed: float = 0.0


def note_file(run: Path) -> Path:
    """Returns where the note on a run folder is."""
    return run.with_name(f"{run.name}.note.json")


def read_note(run: Path) -> Note:
    """Returns the note on a run folder; an empty one where there is none, or one that cannot be read."""
    try:
        with open_plain(note_file(run)) as file:
            data = file.read(MAX_BYTES + 1)
        return Note.model_validate(json.loads(data)) if len(data) <= MAX_BYTES else Note()
    except (OSError, ValueError, RecursionError):
        return Note()


def write_note(run: Path, fields: dict[str, str]) -> Note:
    """Writes the note on a run folder in one step; an empty one removes the file.

    Args:
        run: The run folder, which stays as it is.
        fields: `mark`, `text` and `label` as a form sends them.

    Raises:
        UsageError: the mark is unknown, a text is too long, or the file cannot be written.
    """
    texts = {name: recordable(" ".join(fields.get(name, "").split())) for name in ("text", "label")}
    try:
        note = Note.model_validate({"mark": fields.get("mark", ""), **texts, "changed": round(time.time(), 3)})
    except ValidationError as error:
        limits = f"a mark is one of {', '.join(MARKS)}, a line has at most {MAX_TEXT} characters, a label {MAX_LABEL}"
        raise UsageError(f"cannot keep the note: {limits}") from error
    path = note_file(run)
    try:
        if note.mark or note.text or note.label:
            write_atomically(path, as_file(note))
        elif path.is_file() and not path.is_symlink():
            os.unlink(path)
    except OSError as error:
        raise UsageError(f"cannot write the note {path}: {error.strerror}; make the folder writable") from error
    return note


def human_labels(noted: Iterable[tuple[RunRow, Note]]) -> list[dict[str, Any]]:
    """Returns people's labels as the explainer `human` of `maia eval` reads them: one entry per unit.

    A label in the person's words counts; else the run's, if the person marked it right. Of several notes on one unit
    the newest counts.
    """
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    for run, note in noted:
        labels = [note.label] if note.label else list(run.labels) if note.mark == "right" else []
        if labels and run.model and note.changed >= found.get(run.ref, (0.0, {}))[0]:
            entry: dict[str, Any] = {"unit": run.ref, "label": labels if len(labels) > 1 else labels[0]}
            found[run.ref] = note.changed, entry | ({"description": note.text} if note.text else {})
    return [entry for _, (_, entry) in sorted(found.items())]
