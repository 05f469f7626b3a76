"""The experiments of the task `spurious-feature`, on units whose answer is known."""

import ast
import json
import re

import numpy as np
import pytest

from maia_core.types import CallLimits, Message
from maia_heuristic.backbone import HeuristicBackbone
from maia_heuristic.selectivity import EDITED, GENERATED, MAX_TABLES, REPLICATES

CLASSES, PLACES = ("penguin", "pig", "rabbit"), ("brick", "grass", "ocean waves", "snow")
TOOLS = ("dataset_exemplars", "edit_images", "text2image")
PROMPT = (
    "Unit 3 is part of a network that classifies pictures of one small animal as one of:\n"
    + "".join(f"- {name}\n" for name in CLASSES)
    + f"\nThe network has seen these environments only: {', '.join(PLACES)}. Do not generate others."
)


class Talk:
    """A run without a sandbox: the plan of each program is measured by a function of class and environment."""

    def __init__(self, unit, tools=TOOLS, exemplars=15, note=""):
        self.unit, self.note, self.rng = unit, note, np.random.default_rng(0)
        self.exemplars = [9.0] * exemplars
        self.messages = [
            Message.of("system", "\n".join(f"def {name}(self)" for name in tools)), Message.of("user", PROMPT)
        ]  # fmt: skip
        self.experiments, self.programs = [], []

    def answer(self):
        for _ in range(8):
            reply = HeuristicBackbone(None, None).complete(self.messages, CallLimits()).text
            self.messages.append(Message.of("assistant", reply))
            if "[DECISION]" in reply:
                return re.search(r"\[DECISION\]: (\w+)(?:\n\[CLASS\]: (\w+))?", reply).groups(), reply
            self.messages.append(Message.of("user", self.result(re.search(r"```python\n(.*?)```", reply, re.S)[1])))
        raise AssertionError("no answer")

    def result(self, program):
        names = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in ast.parse(program).body
            if isinstance(node, ast.Assign)
        }
        self.experiments.append(names["EXPERIMENT"])
        self.programs.append(program)
        if not names["PLAN"]:
            return f"@@{json.dumps({'activations': self.exemplars})}"
        values = [
            float(self.unit(row["class"], row["environment"], self.rng))
            for row in names["PLAN"]
            for _ in range(REPLICATES)
        ]
        notes = [f'Note on "{row["prompt"]}": {self.note}' for row in names["PLAN"]] if self.note else []
        return "\n".join([*notes, f"@@{json.dumps({'activations': values})}"])


def of_class(kind, place, rng):
    return 5 * (kind == "pig") + rng.normal(0, 0.5)


@pytest.mark.parametrize(
    ("unit", "decision"),
    [
        (of_class, ("SELECTIVE", "pig")),
        (lambda kind, place, rng: 5 * (place == "snow") + rng.normal(0, 0.5), ("SPURIOUS", None)),
        (lambda kind, place, rng: 5 * (place == "snow" and kind == "pig") + rng.normal(0, 0.5), ("SPURIOUS", None)),
        (lambda kind, place, rng: 5 * (kind != "pig") + rng.normal(0, 0.5), ("SPURIOUS", None)),
        (lambda kind, place, rng: 0.0, ("SPURIOUS", None)),
    ],
)
def test_a_unit_is_told_by_the_table_of_edited_exemplars(unit, decision):
    talk = Talk(unit)
    assert talk.answer()[0] == decision
    assert talk.experiments[1] == f"{EDITED} 1"
    assert "change the background to ocean waves" in talk.programs[1]
    assert "replace it with a pig and change the background to snow" in talk.programs[1]


def test_a_clear_table_is_measured_once_and_an_unclear_one_again_on_other_exemplars():
    clear = Talk(of_class)
    clear.answer()
    assert len(clear.experiments) == 2
    # Four fifths of the variance: 5 for the class, and what the environment adds to it.
    places = np.linspace(-1, 1, len(PLACES))
    between = Talk(lambda k, p, rng: 5 * (k == "pig") + 1.53 * places[PLACES.index(p)] * 1.05 + rng.normal(0, 2))
    _, reply = between.answer()
    assert len(between.experiments) == 1 + MAX_TABLES
    assert [re.search(r"\[1\]\[(\d+):(\d+)\]", text).groups() for text in between.programs[1:]] == [
        (str(n * REPLICATES), str((n + 1) * REPLICATES)) for n in range(MAX_TABLES)
    ]
    assert f"{MAX_TABLES * REPLICATES} images per class and environment" in reply


def test_few_exemplars_bound_the_tables():
    talk = Talk(lambda kind, place, rng: rng.normal(0, 1), exemplars=2 * REPLICATES - 1)
    talk.answer()
    assert talk.experiments == ["exemplars, plainly", f"{EDITED} 1"]


@pytest.mark.parametrize(
    "options",
    [
        {"note": "unchanged: only images that the collage laboratory drew can be edited by it"},
        {"tools": ("text2image",)},
        {"tools": ("dataset_exemplars", "text2image")},
        {"exemplars": 2},
    ],
)
def test_where_exemplars_cannot_be_edited_images_are_generated(options):
    talk = Talk(of_class, **options)
    assert talk.answer()[0] == ("SELECTIVE", "pig")
    assert f"{GENERATED} 1" in talk.experiments or f"{GENERATED} 2" in talk.experiments
    assert any("a small pig on snow" in program for program in talk.programs)


def test_edits_that_changed_nothing_do_not_count():
    """A table of unchanged exemplars would show a unit that responds to nothing, or to noise."""
    talk = Talk(lambda kind, place, rng: rng.normal(5, 1), note="unchanged: it is like that already")
    (decision, _), _ = talk.answer()
    assert decision == "SPURIOUS"
    assert sum(name.startswith(EDITED) for name in talk.experiments) == 1


def test_without_any_tool_the_unit_stays_in_doubt():
    talk = Talk(of_class, tools=())
    assert talk.answer()[0] == ("SPURIOUS", None)
    assert talk.experiments == []
