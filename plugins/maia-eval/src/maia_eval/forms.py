"""People as judges: which of two labels comes nearer to the truth, asked and answered in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import click

from maia_core.plugin import Data, UsageError, content_id, printable
from maia_eval.results import Folder
from maia_eval.summary import Preferred, neuron_results
from maia_judges import joined

COLUMNS = ("question", "the unit responds to", "label A", "label B", "answer (A or B)")
FOLDER = "answers"

MOST_CHARACTERS = 1_000_000
"""Longest text of a cell: several labels, each bounded."""


class Question(NamedTuple):
    """One question, and which explainer gave which label.

    Attributes:
        id: Tells nothing of the explainers.
        truth: What the neuron responds to.
        labels: Label A and label B.
        explainers: Who gave them.
    """

    id: str
    truth: str
    labels: tuple[str, str]
    explainers: tuple[str, str]


class Answers(Data):
    """What one person answered: question to A or B."""

    by: str
    answers: dict[str, Literal["A", "B"]]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The CSV file to write.")
def forms(folder: Path, out: Path) -> None:
    """Write the form of a synthetic evaluation for a person: which of two labels comes nearer to the truth.

    Who gave which label is not in the form, and which comes first is drawn. Read it back with `maia eval answers`.
    """
    from maia_core.plugin import write_atomically

    questions = list(questions_of(Folder(folder)))
    if not questions:
        raise UsageError(f"{folder} holds no two different labels of one neuron yet")
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([q.id, *map(cell, (q.truth, *q.labels)), ""] for q in questions)
    try:
        write_atomically(out, text.getvalue().encode("utf-8-sig", "replace"))
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error
    click.echo(f"{out}: {len(questions)} questions")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("file", type=click.Path(path_type=Path), metavar="CSV")
@click.option("--by", required=True, metavar="NAME", help="Whose answers they are; the same name again replaces them.")
def answers(folder: Path, file: Path, by: str) -> None:
    """Take in the answers of a person; questions without one are left out."""
    evaluation = Folder(folder)
    known = {question.id for question in questions_of(evaluation)}
    given = read_answers(file, known)
    evaluation.write(Answers(by=by, answers=given), FOLDER, by)
    click.echo(f"{len(given)} answers of {len(known)} questions by {by}")


def questions_of(folder: Folder) -> Iterator[Question]:
    """Returns the questions of an evaluation, each two different labels of one neuron, in an order that is drawn."""
    if folder.manifest.kind != "synthetic":
        raise UsageError(f"{folder.path} holds no synthetic neurons, so there is no truth to compare labels with")
    explained = folder.explained()
    found = []
    for result in neuron_results(folder):
        said = {name: explained[result.unit, name] for name in result.verdicts if (result.unit, name) in explained}
        labels = {name: joined(each.labels) for name, each in said.items()}
        for a, b in combinations(labels, 2):
            if labels[a] and labels[b] and labels[a].lower() != labels[b].lower():
                key = content_id(str(result.seed).encode(), result.unit.encode(), a.encode(), b.encode())
                first, second = (a, b) if int(key, 16) % 2 else (b, a)
                found.append(Question(key[:12], result.truth, (labels[first], labels[second]), (first, second)))
    yield from sorted(found)


def read_answers(file: Path, known: set[str]) -> dict[str, Literal["A", "B"]]:
    """Reads the answers in a form.

    Raises:
        UsageError: the file cannot be read or is no form of this evaluation, or an answer is neither A nor B.
    """
    try:
        rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read the answers in {file}: {getattr(error, 'strerror', None) or error}") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise UsageError(f"{file} is no form of `maia eval forms`: its columns must be {', '.join(COLUMNS)}")
    found: dict[str, Literal["A", "B"]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        if len(row) != len(COLUMNS) or row[0] not in known:
            raise UsageError(f"{file}, row {number}: this question is not one of the evaluation; write the form anew")
        if row[0] in found:
            raise UsageError(f"{file}, row {number}: question {row[0]} is answered twice")
        answer = row[-1].strip().upper()
        if answer not in ("", "A", "B"):
            raise UsageError(f"{file}, row {number}: the answer must be A or B, not '{row[-1][:40]}'")
        if answer:
            found[row[0]] = "A" if answer == "A" else "B"
    if not found:
        raise UsageError(f"{file} holds no answer; write A or B into its last column")
    return found


def people(folder: Folder) -> list[Preferred]:
    """Returns how often each person preferred the first of each two explainers."""
    from maia_eval import metrics

    questions = {question.id: question for question in questions_of(folder)}
    rows = []
    for file in sorted((folder.path / FOLDER).glob("*.json")):
        read = folder.read(Answers, FOLDER, file.stem)
        if read is None:
            continue
        wins: dict[tuple[str, str], list[bool]] = {}
        for key, answer in read.answers.items():
            if key in questions:
                winner = questions[key].explainers["AB".index(answer)]
                a, b = sorted(questions[key].explainers, key=folder.explainers.index)
                wins.setdefault((a, b), []).append(winner == a)
        rows += [Preferred(read.by, a, b, metrics.share(sum(won), len(won)), 0) for (a, b), won in sorted(wins.items())]
    return rows


def visible(text: str) -> str:
    """Returns a text with control and direction characters written out."""
    return printable(text, MOST_CHARACTERS)


def cell(text: str) -> str:
    """Returns a text that no spreadsheet takes for a formula, and no terminal for orders: labels come from models."""
    text = visible(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
