"""People as subjects of the four-sets test: a page with the questions, a table for the answers, and reading it back."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from maia_core.plugin import Data, UsageError, content_id
from maia_eval.faithful_page import data_uri
from maia_eval.files import read_form, write_form
from maia_eval.files import write as write_file
from maia_eval.forms import cell, visible
from maia_eval.results import Folder
from maia_eval.set_choice import LETTERS, PLACE, Choice, Question, UnitChoices
from maia_judges import joined

PAGE, SHEET = "questions.html", "answers.csv"

COLUMNS = ("question", "key", "the unit responds to", "answer (A, B, C or D)")

KEYS = "set-choice-key"
"""File of an evaluation that says what each question is about; the form does not."""

HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Which set activates the unit?</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>body{font:16px sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}section{margin:2.5rem 0}
.sets{display:grid;grid-template-columns:repeat(4,1fr);gap:1rem}img{display:block;width:100%}figure{margin:0}
figcaption{text-align:center;font-weight:bold}h2 small{color:#767067;font-weight:normal}
@media(max-width:48rem){.sets{grid-template-columns:repeat(2,1fr)}}</style>
<h1>Which set activates the unit?</h1>
<p>Each question describes what makes one unit of a vision model active, and shows four sets of four images. One
set activates the unit strongly, the others were drawn at random. Write the letter of the set into the last column of
<code>answers.csv</code>, in the row of the question's number. Leave it empty if you do not want to answer.</p>
"""


class Key(Data):
    """What a question is about.

    Attributes:
        unit: The unit's reference.
        explainer: Who gave the label.
        right: The set that activates the unit, from 0.
    """

    unit: str
    explainer: str
    right: int = Field(ge=0, lt=len(LETTERS))


class KeyFile(Data):
    """Every question of a form."""

    keys: dict[str, Key]


def write(folder: Folder, out: Path, questions: Iterable[tuple[str, int, Question]]) -> int:
    """Writes the form of an evaluation: every label of a unit with every question on it, in an order that is drawn.

    Returns:
        How many questions there are.

    Raises:
        UsageError: there is no question, or the folder cannot be written.
    """
    explained = folder.explained()
    keys: dict[str, Key] = {}
    shown: dict[str, tuple[str, Question]] = {}
    for unit, number, question in questions:
        for explainer in folder.explainers:
            said = explained.get((unit, explainer))
            label = joined(said.labels, said.strengths) if said else ""
            if label:
                parts = (str(folder.manifest.created), unit, str(number), explainer)
                name = content_id(*(part.encode("utf-8", "replace") for part in parts))[:12]
                keys[name] = Key(unit=unit, explainer=explainer, right=question.right)
                shown[name] = label, question
    if not shown:
        raise UsageError(f"{folder.path} holds no label with a question yet")
    order = list(enumerate(sorted(shown), 1))
    page = HEAD + "".join(_section(number, name, *shown[name]) for number, name in order) + "</html>\n"
    write_file(out / PAGE, page)
    write_form(out / SHEET, COLUMNS, [[number, name, cell(shown[name][0]), ""] for number, name in order])
    folder.write(KeyFile(keys=keys), KEYS)
    return len(shown)


def _section(number: int, name: str, label: str, question: Question) -> str:
    figures = "".join(
        f'<figure><img alt="" src="{data_uri(image)}"><figcaption>{letter}</figcaption></figure>'
        for letter, image in zip(LETTERS, question.grids(), strict=True)
    )
    said = f"<p>The unit responds to: <b>{html.escape(visible(label))}</b></p>"
    return f'<section><h2>{number} <small>key {name}</small></h2>{said}<div class="sets">{figures}</div></section>\n'


def take(folder: Folder, file: Path, by: str) -> int:
    """Takes in the answers of a person; questions without one are left out.

    Returns:
        How many were answered.

    Raises:
        UsageError: no form was written, or the file is none of this evaluation's; the message names the row.
    """
    known = folder.read(KeyFile, KEYS)
    if known is None:
        raise UsageError(f"no form was written for {folder.path} yet: maia eval set-choice {folder.path} --form FORM")
    answers = read_form(file, COLUMNS, 1, known.keys, LETTERS, "maia eval set-choice")
    units: dict[str, dict[str, list[Choice]]] = {}
    for name, letter in answers.items():
        key, picked = known.keys[name], LETTERS.index(letter)
        made = Choice(hit=float(picked == key.right), picked=picked)
        units.setdefault(key.unit, {}).setdefault(key.explainer, []).append(made)
    for unit in folder.units:
        choices = {explainer: tuple(made) for explainer, made in units.get(unit, {}).items()}
        folder.write(UnitChoices(unit=unit, subject=f"person {by}", choices=choices), PLACE, f"person {by}", unit)
    return len(answers)
