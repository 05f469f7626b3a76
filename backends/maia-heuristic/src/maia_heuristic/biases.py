"""On which images of a class is the response higher or lower? A survey of attributes, then matched pairs.

The survey draws scenes of the class in which colour, background, size, position, neighbour and number vary
independently, and fits the effect of each value beside those of all others. The strongest value is then held fixed in a
second survey, which finds what matters only together with it. Fresh pairs that differ in one value decide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maia_core.plugin import Message
from maia_heuristic.class_scenes import (
    OPPOSITE,
    Values,
    allowed,
    levels_of,
    pairs_of,
    prompt_of,
    random_scene,
    words_of,
)
from maia_heuristic.reading import MARK, Notebook
from maia_heuristic.strategy import Step
from maia_stats import holm, paired_difference

SURVEYED, CONDITIONED = 240, 120
"""Scenes of the first and of the second survey."""

MAX_CANDIDATES = 4
"""Values that pairs confirm."""

RELEVANT = 0.15
"""Smallest effect that is worth a finding, as a share of the class's high responses."""

MIN_T = 3.0
"""t value from which a survey's effect is confirmed by pairs."""

LEVEL = 0.05
"""Significance of the pairs, after Holm's correction."""

_SUBJECT = re.compile(r'is the response of a neural network to the class "([^"\n]*)"')
_ASKED = re.compile(r'The question names the class "([^"\n]*)"')
_QUESTION = "A question about the classifier "
_UNIT = re.compile(r'measure it as\s+`system\.neuron\(images, "([^"\n]+)"\)`')

_MEASURE = """\
import json

EXPERIMENT = {name!r}
PLAN = [
{rows}]


def run_experiment(system, tools):
    images = tools.text2image([row["prompt"] for row in PLAN])
    activations, masked = system.neuron(images{unit})
    print("{mark}" + json.dumps({{"activations": activations}}))
    order = sorted(range(len(PLAN)), key=lambda n: -activations[n])
    shown = order[:8] + order[-8:]
    tools.log_experiment(
        [activations[n] for n in shown], [masked[n] for n in shown], [PLAN[n]["prompt"] for n in shown]
    )
"""

_EXEMPLARS = """\
import json

EXPERIMENT = {name!r}
PLAN = []


def run_experiment(system, tools):
    responses, images = tools.class_exemplars({subject!r})
    titles = [image.title for image in images]
    result = {{"responses": responses, "titles": titles}}
{describe}\
    print("{mark}" + json.dumps(result))
    tools.log_experiment(responses, images, titles)
"""

_DESCRIBE = """\
    result["texts"] = [tools.describe_images([image], ["#"]) for image in images]
"""


class Case(NamedTuple):
    """What a conversation asks: the class, and how a program measures the response to it."""

    subject: str
    unit: str


class Effect(NamedTuple):
    """The effect of one value of an attribute in a survey: the difference to other values, and its t value."""

    kind: str
    value: str
    size: float
    t: float


def case_of(messages: Sequence[Message]) -> Case | None:
    """Returns the class that a conversation of the tasks `bias` or `question` is about; None for another task."""
    text = next((message.text for message in messages if message.role == "user"), "")
    if text.startswith(_QUESTION):
        subject, unit = _ASKED.search(text), _UNIT.search(text)
        return Case(subject[1] if subject else "", f', "{unit[1]}"' if unit else "")
    subject = _SUBJECT.search(text)
    return Case(subject[1], "") if subject else None


def bias_step(case: Case, notebook: Notebook, seed: int) -> Step:
    """Decides what to do next; a pure function of the conversation and the seed."""
    if not case.subject:
        say = (
            "I cannot read this question: I understand questions that name one class of the model, such as 'in which "
            "settings does it fail to recognise a tiger?'"
        )
        return Step(say, [], answer=f"[ANSWER]: {say}\n[CLASS]: none\n[FINDINGS]: none")
    late = notebook.final or (notebook.turns_left is not None and notebook.turns_left <= 1)
    if late or "text2image" not in notebook.tools:
        return _answer(case, notebook)
    if "class_exemplars" in notebook.tools and "class exemplars" not in notebook.done:
        describe = _DESCRIBE if "describe_images" in notebook.tools else ""
        program = _EXEMPLARS.format(name="class exemplars", subject=case.subject, describe=describe, mark=MARK)
        say = f"I begin with the images of {case.subject} to which the response is highest, and lowest."
        return Step(say, [f"the response to {case.subject} depends on nothing else"], program)
    rng = np.random.default_rng([seed % 2**32, *case.subject.encode()])
    levels = levels_of(case.subject, notebook)
    if "survey" not in notebook.done:
        say = (
            "I vary colour, background, size, position, neighbour and number independently, so that the effect of each "
            "can be separated from the others."
        )
        return _measure(case, "survey", say, [random_scene(levels, rng) for _ in range(SURVEYED)])
    levels = _drawable(levels, notebook)
    rng = np.random.default_rng([seed % 2**32, 1, *case.subject.encode()])
    first = _effects(_measured("survey", notebook))
    best = next(iter(first), None)
    if best is not None and abs(best.t) >= MIN_T and "survey with a fixed value" not in notebook.done:
        say = f"{_words(case, best)} has the clearest effect. I hold it fixed: what else matters where it is shown?"
        fixed = {best.kind: best.value}
        rows = [{**random_scene(levels, rng), **fixed} for _ in range(CONDITIONED)]
        return _measure(case, "survey with a fixed value", say, [allowed(row) for row in rows])
    candidates = _candidates(notebook)
    if candidates and "matched pairs" not in notebook.done:
        rng = np.random.default_rng([seed % 2**32, 2, *case.subject.encode()])
        rows = [row for number, values in enumerate(candidates) for row in pairs_of(number, values, levels, rng)]
        say = "A survey of many attributes finds some effects by chance. Fresh pairs that differ in one of them decide."
        return _measure(
            case, "matched pairs", say, rows, [words_of(case.subject, values) for values, _ in _with_sign(notebook)]
        )
    return _answer(case, notebook)


def _measure(case: Case, name: str, say: str, rows: Sequence[Any], hypotheses: Sequence[str] = ()) -> Step:
    plan = [{**row, "prompt": prompt_of(case.subject, row)} for row in rows]
    text = "".join(f"    {row!r},\n" for row in plan)
    standing = list(hypotheses) or [f"the response to {case.subject} depends on its surroundings or its look"]
    return Step(say, standing, _MEASURE.format(name=name, rows=text, unit=case.unit, mark=MARK))


def _measured(name: str, notebook: Notebook) -> list[tuple[Any, float]]:
    """Returns the rows of an experiment that show what was asked for, each with its response."""
    for done, plan, rows in notebook.results:
        values = [value for row in rows for value in row.get("activations", [])]
        if done == name and len(values) == len(plan):
            return [
                (row, float(value))
                for row, value in zip(plan, values, strict=True)
                if isinstance(value, int | float) and row["prompt"] not in notebook.notes
            ]
    return []


def _drawable(levels: dict[str, list[str]], notebook: Notebook) -> dict[str, list[str]]:
    """Returns the values that the generator could draw in the survey: a scene with another one would not count."""
    shown = {(kind, row[kind]) for row, _ in _measured("survey", notebook) for kind in levels}
    drawable = {kind: [value for value in values if (kind, value) in shown] for kind, values in levels.items()}
    return {kind: values if len(set(values)) > 1 else levels[kind] for kind, values in drawable.items()}


KINDS = ("colour", "background", "size", "position", "neighbour", "number")


def _effects(measured: Sequence[tuple[Any, float]]) -> list[Effect]:
    """Returns the effect of every value, the clearest first, by least squares beside those of the other attributes."""
    if len(measured) < 30:
        return []
    response = np.array([value for _, value in measured])
    shown = {
        (kind, value): np.array([row[kind] == value for row, _ in measured], float)
        for kind in KINDS
        for value in sorted({row[kind] for row, _ in measured})
    }
    effects = []
    for kind in KINDS:
        # Scenes without a position, such as those of two things, say nothing about positions.
        counted = np.array([kind != "position" or row[kind] != "" for row, _ in measured])
        others = np.column_stack([np.ones(len(measured)), *(column for (k, _), column in shown.items() if k != kind)])
        left, sizes, _ = np.linalg.svd(others[counted], full_matrices=False)
        basis = left[:, sizes > 1e-9 * max(1.0, sizes.max(initial=0.0))]
        target = response[counted] - basis @ (basis.T @ response[counted])
        for (k, value), column in shown.items():
            here = column[counted]
            if k != kind or not value or not 4 <= here.sum() <= len(here) - 4:
                continue
            alone = here - basis @ (basis.T @ here)
            power = float(alone @ alone)
            if power > 1e-6:
                size = float(alone @ target) / power
                freedom = max(1, len(here) - basis.shape[1] - 1)
                error = float(np.sqrt(((target - size * alone) ** 2).sum() / freedom / power)) or 1e-9
                effects.append(Effect(kind, value, size, size / error))
    return sorted(effects, key=lambda effect: -abs(effect.t))


def _scale(notebook: Notebook) -> float:
    """Returns the size of a high response to the class: the 90 % quantile of the survey, in magnitude."""
    values = [value for _, value in _measured("survey", notebook)]
    return float(np.ptp(np.quantile(values, [0.05, 0.95]))) if values else 0.0


def _candidates(notebook: Notebook) -> list[Values]:
    """Returns what the pairs test: single values, and two that matter together."""
    return [values for values, _ in _with_sign(notebook)]


def _with_sign(notebook: Notebook) -> list[tuple[Values, int]]:
    """Returns the candidates, each with the sign of its effect; of an attribute with two values only one is named."""
    scale = _scale(notebook)
    first = _effects(_measured("survey", notebook))
    clear = [e for e in first if abs(e.t) >= MIN_T and abs(e.size) >= RELEVANT * scale]
    chosen: list[tuple[Values, int]] = []
    if first and (second := _effects(_measured("survey with a fixed value", notebook))):
        best = first[0]
        joint = next((e for e in second if e.kind != best.kind and e.t >= MIN_T), None)
        alone = next((e.size for e in first if joint and (e.kind, e.value) == (joint.kind, joint.value)), 0.0)
        if joint and best.size > 0 and joint.size > max(RELEVANT * scale, 2 * alone):
            chosen.append(({best.kind: best.value, joint.kind: joint.value}, 1))
        elif joint is None and first[0] not in clear and abs(best.t) >= 2 * MIN_T:
            clear = [best, *clear]
    named: set[str] = set()
    for effect in sorted(clear, key=lambda e: -abs(e.t)):
        covered = any(effect.kind in values and len(values) > 1 for values, _ in chosen)
        binary = effect.kind in ("size", "number", "position")
        if not covered and not (binary and effect.kind in named) and len(chosen) < MAX_CANDIDATES:
            value, sign = effect.value, 1 if effect.size > 0 else -1
            if binary and sign < 0:
                value, sign = OPPOSITE[value], 1
            chosen.append(({effect.kind: value}, sign))
        named.add(effect.kind)
    return chosen


def _words(case: Case, effect: Effect) -> str:
    return f"'{words_of(case.subject, {effect.kind: effect.value})}'"


def _answer(case: Case, notebook: Notebook) -> Step:
    """Names the candidates whose pairs agree with the survey, after correction for their number."""
    candidates = _with_sign(notebook)
    tested = []
    measured = _measured("matched pairs", notebook)
    for number, (values, sign) in enumerate(candidates):
        by_pair: dict[int, dict[int, float]] = {}
        for row, value in measured:
            if row.get("about") == number:
                by_pair.setdefault(row["pair"], {})[row["shown"]] = value
        differences = [pair[1] - pair[0] for pair in by_pair.values() if len(pair) == 2]
        if len(differences) >= 4:
            tested.append((values, sign, paired_difference(differences), len(differences)))
    adjusted = holm([effect.p for _, _, effect, _ in tested])
    scale = _scale(notebook)
    lines, named = [], []
    for (values, sign, effect, pairs), p in zip(tested, adjusted, strict=True):
        if p <= LEVEL and effect.mean * sign >= RELEVANT / 2 * scale:
            direction = "higher" if sign > 0 else "lower"
            what = words_of(case.subject, values)
            lines.append(f"{direction}: {what} | {effect.mean:+.3g}")
            interval = f"{effect.low:+.3g} to {effect.high:+.3g}"
            named.append(f"{direction} if {what} ({effect.mean:+.3g}, {interval}, {pairs} pairs)")
    about = f"\n[CLASS]: {case.subject}" if case.unit else ""
    surveyed = len(_measured("survey", notebook))
    if not lines:
        say = (
            f"No bias found: over {surveyed} images of {case.subject}, no colour, background, size, position, "
            "neighbour or number changes the response clearly."
            if surveyed
            else f"No bias found: nothing could be measured on images of {case.subject}."
        )
        return Step("Nothing held on fresh pairs.", [], answer=f"[ANSWER]: {say}{about}\n[FINDINGS]: none")
    say = f"On images of {case.subject}, the response is {'; '.join(named)}."
    return Step("Fresh pairs decide.", [], answer=f"[ANSWER]: {say}{about}\n[FINDINGS]:\n" + "\n".join(lines))
