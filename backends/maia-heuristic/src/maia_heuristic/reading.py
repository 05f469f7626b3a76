"""Reads the conversation back: what was asked of the unit so far, and what came of it.

Nothing is remembered between calls. A program of ours names its experiment and its conditions in two literals
(`EXPERIMENT`, `PLAN`) and prints what it measured as lines that begin with `MARK`; both are read from the messages.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from maia_core.plugin import OBJECTION, Message, ReplyError, asks_for_answer, parse_reply, syntax_tree
from maia_heuristic.describing import Description, read_description
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.scenes import Scene

MARK = "@@"
_NAMES = ("EXPERIMENT", "PLAN")
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BUDGET = re.compile(r"\(turn (\d+) of (\d+)\)")
_QUANTILE = re.compile(r"(-?\d[\d.e+-]*) at (\d+(?:\.\d+)?)%")
_NOTE = re.compile(r'Note on ("[^"]+"(?:, "[^"]+")*):\s*(.*)')
_TITLED = re.compile(r"^#(\d+): ", re.MULTILINE)
_MEASURED = re.compile(r'^- "([^"]{1,300})": ([-+.,\d e]{1,200})$', re.MULTILINE)
_TOOL = re.compile(r"def (\w+)\(self")


@dataclass(frozen=True)
class Exemplar:
    """One exemplar: what its active region shows, and what the rest of the picture does.

    Attributes:
        activation: The unit's activation.
        region: Description of the region where the unit is active.
        rest: Description of the picture with that region painted over.
        cover: Share of the picture's area that is active, in [0, 1].
        border: Share of the picture's border that is active, in [0, 1].
    """

    activation: float
    region: Description
    rest: Description
    cover: float = 0.0
    border: float = 0.0


@dataclass(frozen=True)
class Trial:
    """One image that was made and measured.

    Attributes:
        experiment: Name of the experiment.
        scene: What the image was to show.
        prompt: How that was asked for.
        activation: The unit's activation.
        seen: What the describer saw in it; None where it was not asked.
        region: What it saw in the active region; None where it was not asked.
        border: Share of the picture's border where the unit is active.
        before: For an edited image the activation of its original.
        original: For an edited image the prompt of its original.
    """

    experiment: str
    scene: Scene
    prompt: str
    activation: float
    seen: Description | None = None
    region: Description | None = None
    border: float = 0.0
    before: float | None = None
    original: str = ""


@dataclass
class Notebook:
    """All that the conversation holds.

    Attributes:
        tools: Names of the tools on offer.
        exemplars: Highest activation first.
        summary: What the describer says the exemplars have in common.
        quantiles: Activation at shares of the data set.
        trials: Every generated image.
        notes: Prompt to what the generator said about it.
        results: Every experiment that was tried: its name, its plan, and the rows that it printed.
        done: Experiments that were tried, in order.
        failed: Those of them that printed no result.
        refuted: Labels of the answers that were tested and sent back, oldest first.
        hints: Prompts that the tests of answers measured, with their mean activation.
        final: True once a final answer is demanded.
        turns_left: Replies that are left, this one included; None if unknown.
    """

    knowledge: Knowledge
    tools: frozenset[str] = frozenset()
    exemplars: list[Exemplar] = field(default_factory=list)
    summary: str = ""
    quantiles: dict[float, float] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    results: list[tuple[str, list[Any], list[dict[str, Any]]]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    refuted: list[frozenset[str]] = field(default_factory=list)
    hints: dict[str, float] = field(default_factory=dict)
    final: bool = False
    turns_left: int | None = None

    def of(self, experiment: str) -> list[Trial]:
        """Returns the trials of experiments whose name begins with `experiment`."""
        return [trial for trial in self.trials if trial.experiment.startswith(experiment)]


def read_conversation(messages: Sequence[Message]) -> Notebook:
    """Reads the whole conversation. Garbage in it is passed over, never an error."""
    knowledge = Knowledge()
    notebook = Notebook(knowledge)
    experiment = ""
    plan: list[Any] = []
    answered: frozenset[str] = frozenset()
    for message in messages:
        if message.role == "system":
            notebook.tools = frozenset(_TOOL.findall(message.text))
        elif message.role == "assistant":
            experiment, plan = _program(message.text)
            answered = labels_in(message.text)
        else:
            _read_user(message.text, notebook)
            notebook.final = asks_for_answer(message)
            if answered and message.text.startswith(OBJECTION):
                notebook.refuted.append(answered)
                notebook.hints.update(_hints(message.text))
            if experiment:
                rows = _rows(message.text)
                notebook.done.append(experiment)
                if not rows:
                    notebook.failed.append(experiment)
                notebook.results.append((experiment, plan, rows))
                experiment, plan = "", []
    for _, _, rows in notebook.results:
        _teach(rows, knowledge)
    knowledge.learn()
    for name, conditions, rows in notebook.results:
        _take(name, conditions, rows, notebook)
    knowledge.missing = missing_names(notebook)
    for trial in notebook.trials:
        plain = trial.scene.background.startswith("plain ") and trial.prompt not in notebook.notes
        if trial.seen and plain and len(trial.scene.things) == 1 and not trial.scene.things[0][1]:
            knowledge.teach_colours(trial.scene.things[0][0], object_colours(trial))
    return notebook


def labels_in(answer: str) -> frozenset[str]:
    """Returns the labels of a reply, without their strengths; none where it is not an answer."""
    with suppress(ReplyError):
        texts = parse_reply(answer, ("DESCRIPTION", "LABEL")).sections.get("LABEL", ())
        return frozenset(re.sub(r" \(\d+%\)$", "", text) for text in texts)
    return frozenset()


def _hints(objection: str) -> dict[str, float]:
    hints = {}
    for prompt, values in _MEASURED.findall(objection):
        with suppress(ValueError):
            activations = [float(value) for value in values.split(",")]
            hints[prompt] = sum(activations) / len(activations)
    return hints


def missing_names(notebook: Notebook) -> frozenset[str]:
    """Returns the names of things and backgrounds that the generator could not show when asked for them alone."""
    missing = set()
    for trial in notebook.trials:
        note = notebook.notes.get(trial.prompt, "")
        names = [name for name, _ in trial.scene.things] + [trial.scene.background]
        missing |= {name for name in names if name and f"'{name}'" in note}
    return frozenset(missing)


def object_colours(trial: Trial) -> dict[str, float]:
    """Returns how likely each colour is the main one of a trial's object, from what a describer saw; sums to 1."""
    behind = trial.scene.background.removeprefix("plain ")
    shares: dict[str, float] = {}
    for name, share in trial.seen.colours if trial.seen else ():
        # Some describers count the background in; only where nothing else is seen is the object itself of its colour.
        shares[name] = shares.get(name, 0.0) + share**3 * (0.3 if name == behind else 1.0)
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()} if total else {}


def _program(text: str) -> tuple[str, list[Any]]:
    """Returns the name and the plan of our program in a reply; an empty name where there is none."""
    block = _BLOCK.search(text)
    assigned: dict[str, Any] = {}
    try:
        for node in syntax_tree(block.group(1)).body if block else ():
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in _NAMES:
                assigned[node.targets[0].id] = ast.literal_eval(node.value)
    except (ValueError, SyntaxError):
        return "", []
    name, plan = assigned.get("EXPERIMENT", ""), assigned.get("PLAN", [])
    return (name, plan) if isinstance(name, str) and isinstance(plan, list) else ("", [])


def _read_user(text: str, notebook: Notebook) -> None:
    if budget := _BUDGET.findall(text):
        turn, most = map(int, budget[-1])
        notebook.turns_left = most - turn
    for level, percent in _QUANTILE.findall(text) if "quantiles" in text else ():
        try:
            notebook.quantiles[float(percent) / 100] = float(level)
        except ValueError:
            continue
    for prompts, note in _NOTE.findall(text):
        notebook.notes.update(dict.fromkeys(prompts[1:-1].split('", "'), note))


def _rows(text: str) -> list[dict[str, Any]]:
    rows = []
    for line in text.splitlines():
        if line.startswith(MARK):
            try:
                row = json.loads(line.removeprefix(MARK))
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
    return rows


def _described(row: dict[str, Any], key: str) -> dict[int, str]:
    """Splits what `describe_images` returned for images titled #0, #1, ... by image."""
    text = row.get(key)
    pieces = _TITLED.split(text) if isinstance(text, str) else []
    return {int(number): piece.strip() for number, piece in zip(pieces[1::2], pieces[2::2], strict=True)}


def _teach(rows: list[dict[str, Any]], knowledge: Knowledge) -> None:
    for row in rows:
        for key in ("regions", "rest", "seen"):
            for text in _described(row, key).values():
                description = read_description(text, knowledge)
                if description.kinds and description.names and description.names[0][1] >= 0.5:
                    knowledge.teach(description.names[0][0], description.kinds)


def _numbers(values: Any) -> list[float]:
    if not isinstance(values, list):
        return []
    return [float(v) if isinstance(v, int | float) and math.isfinite(v) else math.nan for v in values]


def _take(experiment: str, plan: list[Any], rows: list[dict[str, Any]], notebook: Notebook) -> None:
    """Adds what one experiment measured."""
    row: dict[str, Any] = {}
    for part in rows:
        row |= part
    activations = _numbers(row.get("activations"))
    borders = _numbers(row.get("border"))
    covers = _numbers(row.get("cover"))
    seen = {key: _described(row, key) for key in ("regions", "rest", "seen")}

    def look(key: str, number: int) -> Description:
        return read_description(seen[key].get(number, ""), notebook.knowledge)

    def at(values: list[float], number: int) -> float:
        return values[number] if number < len(values) and math.isfinite(values[number]) else 0.0

    if experiment.startswith("exemplars"):
        notebook.summary = str(row.get("summary", ""))
        notebook.exemplars = [
            Exemplar(activation, look("regions", n), look("rest", n), at(covers, n), at(borders, n))
            for n, activation in enumerate(activations)
            if math.isfinite(activation)
        ]
        return
    before = _numbers(row.get("before"))
    number = 0
    for entry in plan:
        try:
            scene, prompt, times = Scene.from_plain(entry["scene"]), str(entry["prompt"]), int(entry["times"])
        except (KeyError, TypeError, ValueError):
            return
        for _ in range(times):
            if number < len(activations) and math.isfinite(activations[number]):
                notebook.trials.append(
                    Trial(
                        experiment,
                        scene,
                        prompt,
                        activations[number],
                        look("seen", number) if number in seen["seen"] else None,
                        look("regions", number) if number in seen["regions"] else None,
                        at(borders, number),
                        before[number] if number < len(before) and math.isfinite(before[number]) else None,
                        str(entry.get("original", "")),
                    )
                )
            number += 1
