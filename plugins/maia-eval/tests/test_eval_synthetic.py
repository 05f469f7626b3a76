"""Labels against a known truth, and people as judges of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from maia_core.config import RunConfig
from maia_core.errors import UsageError
from maia_eval.choices import Spec
from maia_eval.command import evaluate
from maia_eval.forms import COLUMNS, people, questions_of
from maia_eval.report import render, terminal
from maia_eval.results import Folder
from maia_eval.summary import naming_rows, neuron_results, preference_rows
from maia_eval.synthetic import Plan, run
from maia_eval.tables import tables
from maia_labels.expression import text_of

if TYPE_CHECKING:
    from conftest import World  # type: ignore[import-not-found]
else:
    World = Any


class Oracle(dict[str, str]):
    """Gives labels in the order that it is asked: the fake neurons all have one name."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__()
        self._labels = iter(labels)

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return next(self._labels)


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Folder:
    """Two neurons of each kind; `right` names the truth, `part` its first concept, `wrong` something else."""
    config = RunConfig()
    names = ("right", "part", "wrong")
    world.says = dict.fromkeys(names, "")
    contexts = world.contexts(config)
    plan = Plan.of(config, [Spec(alias=n, name=n) for n in names], "collage", 2, contexts.main)
    truths = [text_of(plan.truths[unit]) for unit in plan.units]
    world.says = {
        "right": Oracle([truth.replace("|", "given") for truth in truths]),
        "part": Oracle([truth.replace(" | ", " OR ").split(" OR ")[0] for truth in truths]),
        "wrong": Oracle(["quux"] * len(truths)),
    }
    made = Folder.begin(tmp_path / "s", "synthetic", plan.settings(), world)
    run(plan, made, contexts, lambda line: None)
    return made


def test_verdicts_by_kind_with_intervals(folder: Folder) -> None:
    rows = {(r.group, r.explainer): r for r in naming_rows(neuron_results(folder), folder.explainers)}
    assert rows["all", "right"].counts == {"right": 6, "near": 0, "wrong": 0, "no answer": 0}
    assert rows["one concept", "part"].counts["right"] == 2
    assert rows["A given B", "part"].counts["near"] == 2
    assert rows["A OR B", "wrong"].counts["wrong"] == 2
    assert 0.5 < rows["all", "right"].right.low < rows["all", "right"].right.high == 1


def test_the_better_label_is_preferred_and_equal_ones_are_no_question(folder: Folder) -> None:
    rows = {(r.a, r.b): r for r in preference_rows(neuron_results(folder))}
    assert rows["right", "wrong"].share.value == 1
    assert (rows["right", "part"].share.value, rows["right", "part"].share.n, rows["right", "part"].same) == (1, 4, 2)


def test_a_form_goes_out_blind_and_comes_back(folder: Folder, tmp_path: Path) -> None:
    form = tmp_path / "form.csv"
    runner = CliRunner()
    made = runner.invoke(evaluate, ["forms", str(folder.path), "--out", str(form)], catch_exceptions=False)
    assert "questions" in made.output
    rows = list(csv.reader(form.read_text("utf-8-sig").splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert not {"right", "part", "wrong"} & {word for row in rows[1:] for word in row}, "a form must be blind"
    questions = {q.id: q for q in questions_of(folder)}
    firsts = [questions[row[0]].explainers[0] for row in rows[1:]]
    assert len(set(firsts)) > 1, "who comes first is drawn"
    for row in rows[1:-1]:
        row[-1] = "b" if questions[row[0]].explainers[1] == "right" else "A"
    with form.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    done = runner.invoke(evaluate, ["answers", str(folder.path), str(form), "--by", "Ann/../x"], catch_exceptions=False)
    assert f"{len(rows) - 2} answers" in done.output
    assert all(path.parent == folder.path / "answers" for path in folder.path.rglob("Ann*"))
    against = {(row.a, row.b): row for row in people(folder) if row.judge == "Ann/../x"}
    assert against["right", "wrong"].share.value == 1
    assert "Ann/../x" in render(folder, tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[1:], "is not a form"),
        (lambda rows: [rows[0], [*rows[1][:-1], "C"]], "must be A or B"),
        (lambda rows: [rows[0], ["0" * 12, *rows[1][1:]]], "the form does not have this question"),
        (lambda rows: [rows[0], [*rows[1][:-1], "A"], [*rows[1][:-1], "B"]], "answered twice"),
        (lambda rows: rows, "does not hold an answer"),
    ],
)
def test_bad_answers_are_one_line(folder: Folder, tmp_path: Path, change: Any, says: str) -> None:
    form = tmp_path / "form.csv"
    CliRunner().invoke(evaluate, ["forms", str(folder.path), "--out", str(form)], catch_exceptions=False)
    rows = list(csv.reader(form.read_text("utf-8-sig").splitlines()))
    with form.open("w", newline="") as file:
        csv.writer(file).writerows(change(rows))
    with pytest.raises(UsageError, match=says):
        CliRunner().invoke(evaluate, ["answers", str(folder.path), str(form), "--by", "me"], catch_exceptions=False)


def test_the_report_shows_truths_labels_and_published_figures(folder: Folder, tmp_path: Path) -> None:
    page = render(folder, tmp_path)
    assert "synthetic:collage/1" in page
    assert "0.73" in page
    assert len(terminal(folder)) == 1 + 3 * 4
    assert {"named", "preferred", "units", "effort"} <= set(tables(folder))
    assert "<h2>Preferred</h2>" in page


def test_the_labels_of_one_explainer_are_not_preferred_to_any(world: World, tmp_path: Path) -> None:
    world.says = {"alone": "quux"}
    contexts = world.contexts(RunConfig())
    plan = Plan.of(RunConfig(), [Spec(alias="alone", name="alone")], "collage", 1, contexts.main)
    folder = Folder.begin(tmp_path / "s", "synthetic", plan.settings(), world)
    run(plan, folder, contexts, lambda line: None)
    page = render(folder, tmp_path)
    assert "Preferred" not in page
    assert "Every neuron" in page


def test_a_report_of_nothing_is_one_line(world: World, tmp_path: Path) -> None:
    Folder.begin(tmp_path / "e", "predictive", {"units": ["a"], "explainers": []}, world)
    with pytest.raises(UsageError, match=r"nothing in .* has been scored"):
        CliRunner().invoke(evaluate, ["report", str(tmp_path / "e")], catch_exceptions=False)


def test_help_names_the_evaluations() -> None:
    shown = CliRunner().invoke(evaluate, ["--help"]).output
    assert all(name in shown for name in ("predictive", "synthetic", "forms", "answers", "report"))
