"""People as judges: which of two labels comes nearer to the truth, asked and answered in a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import click

from maia_core.plugin import Data, UsageError, content_id, printable
from maia_eval import metrics
from maia_eval.files import read_form, write_form
from maia_eval.results import Folder
from maia_eval.summary import Preferred, neuron_results
from maia_judges import joined
from maia_sweep.tables import FORMULA

COLUMNS = ("question", "the unit responds to", "label A", "label B", "answer (A or B)")
FOLDER = "answers"

MAX_CHARACTERS = 1_000_000
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
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Write the form to this CSV file."
)
def forms(folder: Path, out: Path) -> None:
    """Write a form that asks a person which of two labels comes nearer to the truth of a synthetic neuron.

    The form does not name the explainers and shows the two labels in random order. Import it with `maia eval answers`.
    """
    questions = list(questions_of(Folder(folder)))
    if not questions:
        raise UsageError(f"{folder} holds no two different labels of one neuron yet")
    write_form(out, COLUMNS, [[q.id, *map(cell, (q.truth, *q.labels)), ""] for q in questions])
    click.echo(f"{out}: {len(questions)} questions")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("file", type=click.Path(path_type=Path), metavar="CSV")
@click.option(
    "--by", required=True, metavar="NAME", help="Name the person; a repeated name replaces the earlier answers."
)
def answers(folder: Path, file: Path, by: str) -> None:
    """Import the answers of a person; skip questions without an answer."""
    evaluation = Folder(folder)
    known = {question.id for question in questions_of(evaluation)}
    found = read_form(file, COLUMNS, 0, known, "AB", "maia eval forms")
    evaluation.write(Answers.model_validate({"by": by, "answers": found}), FOLDER, by)
    click.echo(f"{len(found)} answers of {len(known)} questions by {by}")


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


def people(folder: Folder) -> list[Preferred]:
    """Returns how often each person preferred the first of each two explainers."""
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
    return printable(text, MAX_CHARACTERS)


def cell(text: str) -> str:
    """Returns a text that no spreadsheet takes for a formula, and no terminal for orders: labels come from models."""
    text = visible(text)
    return f"'{text}" if re.match(FORMULA, text) else text
