"""Is a unit selective for one class, or spurious? A table of class by environment decides.

Every class is measured in every environment. The share of the table's variance that one class explains, corrected for
the noise of the cells' means, tells a unit for that class from one for an environment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maia_core.plugin import Message
from maia_heuristic import programs
from maia_heuristic.reading import MARK, Notebook
from maia_heuristic.scenes import Scene
from maia_heuristic.strategy import Step

REPLICATES = 4
"""Images of each class in each environment, per experiment."""

SELECTIVE = 0.8
"""One class must explain more than this share of the variance."""

CLEAR = 0.15
"""A share that is nearer than this to `SELECTIVE` is measured a second time, with fresh images."""

NAME = "table of class by environment"

_CLASSES = re.compile(r"that classifies ([^\n]*) as one of:\n((?:- [^\n]+\n)+)")
_ENVIRONMENTS = re.compile(r"The network has seen these environments only: ([^\n]*?(?:\n[^\n]*?)?)\. Do not")

_TABLE = """\
import json

EXPERIMENT = {name!r}
PLAN = [
{rows}]


def run_experiment(system, tools):
    images = tools.text2image([row["prompt"] for row in PLAN])
    activations, masked = system.neuron(images)
    print("{mark}" + json.dumps({{"activations": activations}}))
    # One image of every class in every environment, for people to look at.
    shown = range(0, len(PLAN), {replicates})
    tools.log_experiment(
        [activations[n] for n in shown], [masked[n] for n in shown], [PLAN[n]["prompt"] for n in shown]
    )
"""


class Question(NamedTuple):
    """What the task asks about.

    Attributes:
        domain: What the images show.
        classes: Names of the classes.
        environments: Names of the environments.
    """

    domain: str
    classes: tuple[str, ...]
    environments: tuple[str, ...]

    @property
    def size(self) -> str:
        """The adjective that the images' objects need, as far as the task tells."""
        return "small" if "small" in self.domain.split() else ""


class Effects(NamedTuple):
    """How much of a table's variance one class and the environments explain.

    Attributes:
        best: Place of the class.
        share: Its share, in [0, 1].
        environment: That of the environments' means.
    """

    best: int
    share: float
    environment: float


def question_of(messages: Sequence[Message]) -> Question | None:
    """Returns the question of a conversation; None where it asks something else."""
    text = next((message.text for message in messages if message.role == "user"), "")
    classes, environments = _CLASSES.search(text), _ENVIRONMENTS.search(text)
    if not classes or not environments:
        return None
    names = tuple(line.removeprefix("- ") for line in classes[2].splitlines())
    return Question(classes[1], names, tuple(" ".join(name.split()) for name in environments[1].split(",")))


def selectivity_step(question: Question, notebook: Notebook) -> Step:
    """Decides what to do next; a pure function of the question and the notebook."""
    hypotheses = [f"the unit responds to {name} in every environment" for name in question.classes]
    hypotheses.append("the unit responds to an environment, or to a class in some environments only")
    late = notebook.final or (notebook.turns_left is not None and notebook.turns_left <= 1)
    if not late and "dataset_exemplars" in notebook.tools and not notebook.done:
        say = "I begin with the exemplars. What they share may be the class, or the environment that came with it."
        return Step(say, hypotheses, programs.bare_exemplars_program("exemplars, plainly"))
    tables = [name for name in notebook.done if name.startswith(NAME)]
    effects = measure(question, notebook)
    unclear = effects is None or abs(effects.share - SELECTIVE) < CLEAR
    if not late and "text2image" in notebook.tools and len(tables) < 2 and unclear:
        say = (
            "I measure every class in every environment: a unit for a class is active in one row of this table, a unit "
            "for an environment in one column."
            if not tables
            else "The table does not decide clearly, so I measure it again with fresh images."
        )
        name = f"{NAME} {len(tables) + 1}"
        rows = "".join(f"    {row!r},\n" for row in _plan(question))
        return Step(say, hypotheses, _TABLE.format(name=name, rows=rows, mark=MARK, replicates=REPLICATES))
    return _answer(question, effects)


def measure(question: Question, notebook: Notebook) -> Effects | None:
    """Returns the effects over all tables that were measured; None without any, or where the unit never changed."""
    cells: dict[tuple[str, str], list[float]] = {}
    for name, plan, rows in notebook.results:
        values: list[Any] = [value for row in rows for value in row.get("activations", [])]
        if not name.startswith(NAME) or len(values) != len(plan):
            continue
        for row, value in zip(plan, values, strict=True):
            if isinstance(row, dict) and isinstance(value, int | float):
                cells.setdefault((str(row.get("class")), str(row.get("environment"))), []).append(float(value))
    wanted = [[cells.get((name, place), []) for place in question.environments] for name in question.classes]
    if not all(len(cell) > 1 for row in wanted for cell in row):
        return None
    means = np.array([[np.mean(cell) for cell in row] for row in wanted])
    noise = float(np.mean([np.var(cell, ddof=1) / len(cell) for row in wanted for cell in row]))
    return effects_of(means, noise)


def effects_of(means: np.ndarray[Any, np.dtype[np.float64]], noise: float) -> Effects | None:
    """Returns the shares that a class and the environments explain of a table of means.

    The expected sum of squares of pure noise, one per degree of freedom, is taken off each sum (as in omega squared;
    Hays 1963), so that few replicates do not make a class look weaker than it is.

    Args:
        means: Mean activation, shape (classes, environments).
        noise: Variance of a cell's mean.
    """
    deviation = means - means.mean()
    rows, columns = means.shape
    total = float((deviation**2).sum()) - noise * (rows * columns - 1)
    if total <= 0:
        return None
    by_class, by_place = deviation.mean(axis=1), deviation.mean(axis=0)
    sums = np.where(by_class > 0, by_class**2 * columns * rows / (rows - 1), 0.0) - noise
    environment = rows * float((by_place**2).sum()) - noise * (columns - 1)
    best = int(sums.argmax())
    return Effects(best, float(np.clip(sums[best] / total, 0, 1)), float(np.clip(environment / total, 0, 1)))


def _plan(question: Question) -> list[dict[str, str]]:
    return [
        {"class": name, "environment": place, "prompt": Scene(((name, question.size),), place).prompt}
        for name in question.classes
        for place in question.environments
        for _ in range(REPLICATES)
    ]


def _answer(question: Question, effects: Effects | None) -> Step:
    if effects is None:
        say = "No table of class by environment shows that the unit changes with the class, so it stays in doubt."
        return Step(say, [], answer=f"[REASONING]: {say}\n[DECISION]: SPURIOUS")
    best = question.classes[effects.best]
    say = (
        f"Over all classes and environments, {best} explains {effects.share:.0%} of the variance and the environments "
        f"explain {effects.environment:.0%}."
    )
    if effects.share > SELECTIVE:
        return Step(say, [], answer=f"[REASONING]: {say}\n[DECISION]: SELECTIVE\n[CLASS]: {best}")
    return Step(say, [], answer=f"[REASONING]: {say}\n[DECISION]: SPURIOUS")
