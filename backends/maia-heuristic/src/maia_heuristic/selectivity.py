"""Is a unit selective for one class, or spurious? A table of class by environment decides.

Every class is measured in every environment, on edits of the unit's exemplars, so that sizes and places of objects are
those of the images that the network has seen. The share of the table's variance that one class explains, corrected for
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
from maia_heuristic.scenes import Scene, with_article
from maia_heuristic.strategy import Step

REPLICATES = 4
"""Images of each class in each environment, per experiment."""

SELECTIVE = 0.8
"""One class must explain more than this share of the variance."""

MAX_TABLES = 3
"""The table is measured again, with other images, while the interval of the share holds `SELECTIVE`."""

ERRORS = 2.5
"""Half width of the interval of a share, in standard errors: about 95 % for the few images of a cell."""

NAME = "table of class by environment"
EDITED, GENERATED = f"{NAME}, edited exemplars", f"{NAME}, generated images"
"""Names of the experiment, followed by its number."""

REPLACE = "replace it with"
"""How an edit of the table begins."""

_CLASSES = re.compile(r"that classifies ([^\n]*) as one of:\n((?:- [^\n]+\n)+)")
_ENVIRONMENTS = re.compile(r"The network has seen these environments only: ([^\n]*?(?:\n[^\n]*?)?)\. Do not")

_TABLE = """\
import json

EXPERIMENT = {name!r}
PLAN = [
{rows}]


def run_experiment(system, tools):
{images}
    activations, masked = system.neuron(images)
    print("{mark}" + json.dumps({{"activations": activations[-len(PLAN) * {replicates}:]}}))
    # One image of every class in every environment, for people to look at.
    shown = range(len(images) - len(PLAN) * {replicates}, len(images), {replicates})
    tools.log_experiment([activations[n] for n in shown], [masked[n] for n in shown], [row["prompt"] for row in PLAN])
"""

_GENERATED = """\
    images = tools.text2image([row["prompt"] for row in PLAN for _ in range({replicates})])"""

_EDITED = """\
    exemplars = tools.dataset_exemplars(system)[1][{first}:{last}]
    edits = {edits}[row["prompt"] for row in PLAN]
    images, _ = tools.edit_images(exemplars * len(edits), [edit for edit in edits for _ in exemplars])
    # The exemplars themselves, then their edits.
    images = images[: 2 * len(exemplars) : 2] + images[1::2]"""


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
        error: Standard error of `share`.
        images: Images per class and environment.
    """

    best: int
    share: float
    environment: float
    error: float = 0.0
    images: int = 0

    @property
    def clear(self) -> bool:
        """Whether the interval of the share leaves out `SELECTIVE`."""
        return abs(self.share - SELECTIVE) > ERRORS * self.error


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
    sets = len(notebook.exemplars) // REPLICATES  # Each table edits other exemplars.
    edited = sets > 0 and "edit_images" in notebook.tools and not _refused(notebook)
    most = (min(sets, MAX_TABLES) if edited else MAX_TABLES) if edited or "text2image" in notebook.tools else 0
    if not late and len(tables) < most and not (effects and effects.clear):
        say = (
            "I measure every class in every environment: a unit for a class is active in one row of this table, a unit "
            "for an environment in one column."
            if not tables
            else "The table does not decide clearly, so I measure it again with other images."
        )
        return Step(say, hypotheses, _program(question, len(tables), edited))
    return _answer(question, effects)


def _refused(notebook: Notebook) -> bool:
    """Tells whether an edit of an exemplar failed, or left the image as it was."""
    failed = any(name.startswith(EDITED) for name in notebook.failed)
    return failed or any("unchanged" in note for prompt, note in notebook.notes.items() if prompt.startswith(REPLACE))


def _program(question: Question, number: int, edited: bool) -> str:
    """Returns the program that measures the table for the `number`-th time, from 0."""
    cells = [(name, place) for name in question.classes for place in question.environments]
    if edited:
        prompts = [f"{REPLACE} {with_article(name)} and {_on(place)}" for name, place in cells]
        # The same object on every background: what the environment alone does.
        alone = f"{[_on(place) for place in question.environments]} + " if not number else ""
        first = number * REPLICATES
        images = _EDITED.format(first=first, last=first + REPLICATES, edits=alone)
    else:
        prompts = [Scene(((name, question.size),), place).prompt for name, place in cells]
        images = _GENERATED.format(replicates=REPLICATES)
    rows = [
        {"class": name, "environment": place, "prompt": prompt}
        for (name, place), prompt in zip(cells, prompts, strict=True)
    ]
    return _TABLE.format(
        name=f"{EDITED if edited else GENERATED} {number + 1}",
        rows="".join(f"    {row!r},\n" for row in rows),
        images=images,
        mark=MARK,
        replicates=REPLICATES,
    )


def _on(place: str) -> str:
    return f"change the background to {place}"


def measure(question: Question, notebook: Notebook) -> Effects | None:
    """Returns the effects over all tables that were measured; None without any, or where the unit never changed.

    Edits and generated images are not mixed: generated ones count only where no table of edits was measured.
    """
    for kind in (EDITED, GENERATED):
        cells: dict[tuple[str, str], list[float]] = {}
        if kind == EDITED and _refused(notebook):
            continue
        for name, plan, rows in notebook.results:
            values: list[Any] = [value for row in rows for value in row.get("activations", [])]
            if not name.startswith(kind) or len(values) != REPLICATES * len(plan):
                continue
            for number, value in enumerate(values):
                row = plan[number // REPLICATES]
                if isinstance(row, dict) and isinstance(value, int | float):
                    cells.setdefault((str(row.get("class")), str(row.get("environment"))), []).append(float(value))
        found = [[cells.get((name, place), []) for place in question.environments] for name in question.classes]
        images = min(len(cell) for row in found for cell in row)
        if images > 1:
            return _estimate(np.array([[cell[:images] for cell in row] for row in found]))
    return None


def _estimate(values: np.ndarray[Any, np.dtype[np.float64]]) -> Effects | None:
    """Returns the effects with the standard error of the share, by the jackknife over the images of the cells.

    Args:
        values: Activations, shape (classes, environments, images), at least two images.
    """
    images = values.shape[2]
    effects = _effects(values)
    if effects is None:
        return None
    parts = [_effects(np.delete(values, image, axis=2)) if images > 2 else None for image in range(images)]
    shares = [part.share for part in parts if part]
    error = float(np.sqrt((len(shares) - 1) * np.var(shares))) if len(shares) > 1 else 1.0
    return effects._replace(error=error, images=images)


def _effects(values: np.ndarray[Any, np.dtype[np.float64]]) -> Effects | None:
    noise = float(np.mean(np.var(values, axis=2, ddof=1) / values.shape[2]))
    return effects_of(values.mean(axis=2), noise)


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


def _answer(question: Question, effects: Effects | None) -> Step:
    if effects is None:
        say = "No table of class by environment shows that the unit changes with the class, so it stays in doubt."
        return Step(say, [], answer=f"[REASONING]: {say}\n[DECISION]: SPURIOUS")
    best = question.classes[effects.best]
    low, high = (effects.share + sign * ERRORS * effects.error for sign in (-1, 1))
    say = (
        f"Over all classes and environments, {best} explains {effects.share:.0%} of the variance (95 % interval "
        f"{max(low, 0):.0%} to {min(high, 1):.0%}, {effects.images} images per class and environment) and the "
        f"environments explain {effects.environment:.0%}."
    )
    if effects.share > SELECTIVE:
        return Step(say, [], answer=f"[REASONING]: {say}\n[DECISION]: SELECTIVE\n[CLASS]: {best}")
    return Step(say, [], answer=f"[REASONING]: {say}\n[DECISION]: SPURIOUS")
