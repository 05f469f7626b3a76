"""Files of an evaluation: text read and bytes written, with errors that name the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path

from maia_core.plugin import UsageError, decoded, write_atomically


def read_text(file: Path, content: str) -> str:
    """Returns the text of a file.

    Args:
        file: The file.
        content: What the file holds, for the message.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return decoded(file.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {content} in {file}: {getattr(error, 'strerror', None) or error}") from error


def write(file: Path, data: bytes | str, encoding: str = "utf-8") -> None:
    """Writes a whole file or nothing; a text's lone surrogates become question marks.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        write_atomically(file, data if isinstance(data, bytes) else data.encode(encoding, "replace"))
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error


def write_form(file: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Writes a CSV file that a spreadsheet opens as UTF-8.

    Raises:
        UsageError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows([columns, *rows])
    write(file, text.getvalue(), "utf-8-sig")


def read_form(
    file: Path, columns: Sequence[str], key: int, known: Collection[str], letters: str, command: str
) -> dict[str, str]:
    """Reads the answers in a form, one letter per question; questions without an answer are left out.

    Args:
        file: The CSV file; the answer is in its last column.
        columns: Its columns.
        key: The column of the question's key, from 0.
        known: The keys of the form.
        letters: The letters that an answer may be.
        command: The command that writes the form, for messages.

    Raises:
        UsageError: the file cannot be read, is not a form of this evaluation, or holds a wrong answer or none; the
            message names the row.
    """
    text = read_text(file, "the answers")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UsageError(f"cannot read the answers in {file}: {error}") from error
    if not rows or tuple(rows[0]) != tuple(columns):
        raise UsageError(f"{file} is not a form of `{command}`: its columns must be {', '.join(columns)}")
    choice = f"{', '.join(letters[:-1])} or {letters[-1]}"
    found: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        name = row[key] if len(row) == len(columns) else ""
        if name not in known:
            raise UsageError(f"{file}, row {number}: the form does not have this question; write the form again")
        if name in found:
            raise UsageError(f"{file}, row {number}: question {name} is answered twice")
        answer = row[-1].strip().upper()
        if answer and answer not in tuple(letters):
            raise UsageError(f"{file}, row {number}: the answer must be {choice}, not '{row[-1][:40]}'")
        if answer:
            found[name] = answer
    if not found:
        raise UsageError(f"{file} does not hold an answer; write {choice} into its last column")
    return found
