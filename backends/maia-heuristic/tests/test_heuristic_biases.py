"""The scientist on biases of a class: a planted dependence is named, none is named where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from maia_core.plugin import Message, parse_reply
from maia_core.types import CallLimits
from maia_heuristic.backbone import HeuristicBackbone
from maia_heuristic.biases import _drawable, case_of
from maia_heuristic.class_scenes import levels_of
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.reading import Notebook, _program

SYSTEM = "class Tools:\n    def text2image(self, prompts):\n    def log_experiment(self):\n"
TASK = 'Unit frog of layer prob of m is the response of a neural network to the class "frog".'

Row = Mapping[str, Any]


def _answer(response: Callable[[Row], float], task: str = TASK) -> dict[str, list[str]]:
    """Plays a run: every program gets the response to the scenes of its plan, with some noise."""
    backbone, rng = HeuristicBackbone({}, None), np.random.default_rng(0)  # pyright: ignore
    messages = [Message.of("system", SYSTEM), Message.of("user", task)]
    for turn in range(1, 9):
        reply = backbone.complete(messages, CallLimits()).text
        name, plan = _program(reply)
        if not name:
            return parse_reply(reply, ("ANSWER", "CLASS", "FINDINGS")).sections
        values = [round(float(response(row) + rng.normal(0, 0.03)), 4) for row in plan]
        printed = f'Printed:\n@@{{"activations": {values}}}\n(turn {turn} of 30)'
        messages += [Message.of("assistant", reply), Message.of("user", printed)]
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    ("response", "findings"),
    [
        (lambda row: 0.9 if row["background"] == "sand" else 0.1, ["higher: on sand"]),
        (lambda row: 0.2 if row["colour"] == "red" else 0.9, ["lower: red"]),
        (lambda row: 0.9 if row["size"] == "small" else 0.1, ["higher: small"]),
        (lambda row: 0.9 if row["number"] == "2" else 0.1, ["higher: two frogs"]),
        (lambda row: 0.9 if row["neighbour"] == "cup" else 0.1, ["higher: next to a cup"]),
        (lambda row: 0.9 if row["position"] == "left" else 0.1, ["higher: on the left"]),
        (lambda row: 0.9, ["none"]),
    ],
)
def test_a_single_attribute_is_named_and_nothing_else(response: Callable[[Row], float], findings: list[str]):
    lines = _answer(response)["FINDINGS"][0].splitlines()
    assert [re.sub(r" \|.*", "", line) for line in lines] == findings


def test_two_attributes_that_are_needed_together_are_named_together():
    both = _answer(lambda row: 0.9 if row["background"] == "snow" and row["size"] == "small" else 0.1)
    first = both["FINDINGS"][0].splitlines()[0]
    assert "small" in first
    assert "on snow" in first


def test_a_question_that_cannot_be_read_gets_that_as_the_answer():
    sections = _answer(lambda row: 0.5, "A question about the classifier m, which has 4 classes (a, b):\n\nwhy?")
    assert "cannot read this question" in sections["ANSWER"][0]
    assert sections["FINDINGS"] == ["none"]


def test_the_class_is_read_from_both_tasks():
    asked = (
        'A question about the classifier m\n\nThe question names the class "frog". measure it as\n'
        '`system.neuron(images, "prob:1")`'
    )
    case = case_of([Message.of("user", asked)])
    assert case == ("frog", ', "prob:1"')
    assert case_of([Message.of("user", TASK)]) == ("frog", "")
    assert case_of([Message.of("user", "Describe the visual concept")]) is None


def test_half_of_the_scenes_have_backgrounds_that_the_exemplars_show():
    text = "#: frog (0.97), newt (0.01); kind: animal (1.00); colours: green 84%; texture: fine; on: {}, blue"
    texts = [text.format(place) for place in ("forest", "forest", "ocean waves")]
    shown = Notebook(Knowledge(), results=[("class exemplars", [], [{"texts": texts}])])
    places = levels_of("frog", shown)["background"]
    every = set(levels_of("frog", Notebook(Knowledge()))["background"])
    assert set(places) == every, "the others are drawn, too"
    share = sum(place in ("forest", "ocean waves") for place in places) / len(places)
    assert 0.45 < share < 0.55
    damaged = Notebook(Knowledge(), results=[("class exemplars", [], [{"texts": "forest"}, {"texts": [None, ""]}])])
    assert set(levels_of("frog", damaged)["background"]) == every


def test_things_that_the_generator_cannot_draw_cost_no_later_scenes():
    rows = [{"prompt": f"{n} {thing}", "neighbour": thing} for n in range(4) for thing in ("cup", "book", "")]
    responses = [{"activations": [0.5] * len(rows)}]
    notes = {row["prompt"]: "asked for: a book" for row in rows if row["neighbour"] == "book"}
    notebook = Notebook(Knowledge(), results=[("survey", rows, responses)], notes=notes)
    assert _drawable({"neighbour": ["cup", "book", ""]}, notebook) == {"neighbour": ["cup", ""]}
    notebook.notes = {row["prompt"]: "x" for row in rows}
    assert _drawable({"neighbour": ["cup", "book"]}, notebook) == {"neighbour": ["cup", "book"]}
