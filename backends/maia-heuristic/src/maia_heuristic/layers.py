"""Questions over a whole layer: which of its units respond to what the question names?

All units are ranked by images of the thing asked for against near misses; the first are measured again on fresh images
with other things and surroundings, and only those that hold are named.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from maia_core.plugin import Message
from maia_heuristic.cases import sample_neighbours
from maia_heuristic.hypotheses import Concept
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.reading import Notebook
from maia_heuristic.scenes import Scene
from maia_heuristic.statistics import Contrast, contrast, significant
from maia_heuristic.strategy import Step
from maia_heuristic.wording import short

CANDIDATES = 16
"""Units that are measured again."""
NAMED = 10
"""Most units that an answer names."""
FAILED = 3
"""Units that are shown where none holds."""
MAX_ROWS = 5
"""Images of what is asked for that each of the units is shown on, and as many controls."""
IMAGES = 20
"""Images of what is asked for in each experiment, and as many controls."""
HOLDS = 0.75
"""A named unit puts an image above a control at least this often, on fresh images."""

_QUESTION = re.compile(r"A question about [^\n]*:\n\n(.*?)\n\nEach of your replies", re.DOTALL)
_CHOOSE = """\
import json

EXPERIMENT = {name!r}
PLAN = [
{rows}]


def run_experiment(system, tools):
    images = tools.text2image([row["prompt"] for row in PLAN])
    shown = [image for image, row in zip(images, PLAN) if row["wanted"]]
    controls = [image for image, row in zip(images, PLAN) if not row["wanted"]]
    ranked = tools.score_units(shown, controls, top={candidates})
    print("@@" + json.dumps({{"ranked": ranked}}))
    tools.display("what is asked for:", *shown[:6], "controls:", *controls[:6])
"""

_LOOK = """\
def run_experiment(system, tools):
    tools.display(*tools.text2image(["a dog", "a car"]))
"""

_ON_UNITS = """\
EXPERIMENT = {name!r}
UNITS = {units!r}
PLAN = [
{rows}]


def run_experiment(system, tools):
    images = tools.text2image([row["prompt"] for row in PLAN])
"""

_TEST = (
    f"import json\n\n{_ON_UNITS}"
    + """\
    activations = system.layer(images)
    print("@@" + json.dumps({{"units": {{unit: [row[unit] for row in activations] for unit in UNITS}}}}))
"""
)

_SHOW = (
    _ON_UNITS
    + """\
    titles = [{asked!r} if row["wanted"] else "controls" for row in PLAN]
    for unit in UNITS:
        values, masked = system.neuron(images, unit)
        tools.log_experiment(values, masked, [f"unit {{unit}}: {{title}}" for title in titles])
"""
)


def layer_step(messages: Sequence[Message], notebook: Notebook, seed: int) -> Step:
    """Decides what to do next about a question over a layer; a pure function of the conversation and the seed."""
    text = next((message.text for message in messages if message.role == "user"), "")
    knowledge = notebook.knowledge
    concepts = concepts_of(found[1] if (found := _QUESTION.search(text)) else "", knowledge)
    if not concepts:
        say = "The question names nothing that I know: I know things, colours, backgrounds and patterns by their names."
        if not any(message.role == "assistant" for message in messages):  # MAIA takes no answer before an experiment.
            return Step(f"{say} I look whether the generator draws at all.", [], _LOOK)
        return Step(say, [], answer=f"[ANSWER]: {say}\n[UNITS]: none")
    asked = short(tuple((concept,) for concept in concepts))
    # What the generator could not draw it quotes in its notes.
    knowledge.missing = frozenset(re.findall(r"'([^']+)'", " ".join(notebook.notes.values())))
    found_by = {name: (plan, row) for name, plan, rows in notebook.results for row in rows}
    chosen = found_by.get("choosing again") or found_by.get("choosing")
    if not notebook.final and (notebook.turns_left is None or notebook.turns_left > 1):
        again = "choosing again" not in notebook.done and (chosen is None or _spoilt(chosen[0], notebook))
        if "choosing" not in notebook.done or again:
            rows = _plan(concepts, knowledge, _rng(seed, "choose"))
            say = f"I rank all units by images of {asked} against near misses in the same surroundings."
            name = "choosing again" if "choosing" in notebook.done else "choosing"
            program = _CHOOSE.format(name=name, rows=_literal(rows), candidates=CANDIDATES)
            return Step(say, [f"some units respond to {asked}"], program)
        units = [int(row["unit"]) for row in chosen[1].get("ranked", [])] if chosen else []
        if units and "fresh images" not in notebook.done:
            rows = _plan(concepts, knowledge, _rng(seed, "fresh"), _drawn(notebook))
            say = (
                f"These {len(units)} units were chosen by the images that they separate, which flatters them. I "
                "measure them again on fresh images, with other surroundings."
            )
            program = _TEST.format(name="fresh images", rows=_literal(rows), units=units)
            return Step(say, [f"unit {unit} responds to {asked}" for unit in units[:5]], program)
    plan, row = found_by.get("fresh images", ([], {}))
    measured = list(_contrasts(plan, row.get("units"), notebook, seed))
    holding = _holding(measured)
    showing = "showing" not in notebook.done and (notebook.turns_left is None or notebook.turns_left > 1)
    if measured and showing and not notebook.final:
        # Only now is it known which units the answer will name; the record is to show these, or the best that failed.
        shown = holding[:NAMED] or sorted(measured, key=_rank)[:FAILED]
        rows = _plan(concepts, knowledge, _rng(seed, "show"), _drawn(notebook))
        rows = [row for wanted in (True, False) for row in [r for r in rows if r[1] is wanted][:MAX_ROWS]]
        units = [unit for unit, _ in shown]
        which = "hold" if holding else "come nearest, though none holds"
        say = f"I look at the units that {which}, on images of {asked} and on controls."
        program = _SHOW.format(name="showing", rows=_literal(rows), units=units, asked=asked)
        standing = [f"unit {unit} responds to {asked}" for unit in units] if holding else [f"no unit is for {asked}"]
        return Step(say, standing, program)
    return _answer(asked, measured, holding)


def concepts_of(question: str, knowledge: Knowledge) -> list[Concept]:
    """Returns the things, backgrounds, colours and patterns that a question names, the longest names first."""
    words = re.findall(r"[a-z]+", question.lower())
    found: list[Concept] = []
    place = 0
    while place < len(words):
        for length in (3, 2, 1):
            concept = _concept(" ".join(words[place : place + length]), knowledge)
            if concept is not None and place + length <= len(words):
                found += [concept] if concept not in found else []
                place += length
                break
        else:
            place += 1
    return found


def _concept(words: str, knowledge: Knowledge) -> Concept | None:
    name = knowledge.spelling(words)
    for aspect, names in (
        ("background", knowledge.backgrounds),
        ("thing", knowledge.nouns),
        ("pattern", knowledge.patterns),
        ("colour", knowledge.colours),
    ):
        if name in names:
            return Concept(aspect, name)
    stem = words.removesuffix("ed").removesuffix("y")
    if len(stem) > 3 and stem in knowledge.backgrounds:  # forested, snowy, sandy
        return Concept("background", stem)
    return None


Row = tuple[Scene, bool]
"""What an image shows, and whether that is what is asked for."""


def _plan(
    concepts: Sequence[Concept], knowledge: Knowledge, rng: np.random.Generator, drawn: Collection[str] = ()
) -> list[Row]:
    """Returns images and controls.

    Args:
        concepts: What is asked for; one of them is enough.
        knowledge: What is a kind of what, and what cannot be drawn.
        rng: Draws.
        drawn: Names that were drawn before: fresh images show these, in the other half of the surroundings.
    """
    inner = {kind for name in knowledge.backgrounds for kind in knowledge.above(name)}
    places = sorted(knowledge.backgrounds - inner - knowledge.missing)
    places = places[1::2] if drawn else places[::2]
    things = [name for name in knowledge.specific() if name not in knowledge.missing]
    things = [name for name in things if name in drawn] or things
    rows: list[Row] = []
    for number in range(2 * IMAGES):
        wanted = number < IMAGES
        rows.append(
            (_scene(concepts[number % len(concepts)], wanted, things, places, knowledge, rng, concepts), wanted)
        )
    return rows


def _scene(
    concept: Concept,
    wanted: bool,
    things: Sequence[str],
    places: Sequence[str],
    knowledge: Knowledge,
    rng: np.random.Generator,
    concepts: Sequence[Concept],
) -> Scene:
    """Draws a scene that shows the concept, or a near miss that lacks every concept asked for."""
    asked = {c.aspect: {d.name for d in concepts if d.aspect == c.aspect} for c in concepts}

    def draw(names: Sequence[str], instead: str) -> str:
        return str(rng.choice(list(names))) if names else instead

    def other(names: Sequence[str], aspect: str) -> list[str]:
        return [n for n in names if not any(knowledge.is_a(n, kind) for kind in asked.get(aspect, ()))]

    if concept.aspect == "pattern":
        patterns = [concept.name] if wanted else other(sorted(knowledge.patterns), "pattern")
        return Scene(pattern=draw(patterns, "stripes"), tint=draw(knowledge.colours, ""))
    place = draw(other(places, "background"), "plain grey")
    if concept.aspect == "background":
        every = sorted(knowledge.backgrounds)
        members = [name for name in knowledge.members(concept.name) if name in every] or [concept.name]
        return Scene(((draw(other(things, "thing"), "cup"), ""),), draw(members, concept.name) if wanted else place)
    if concept.aspect == "colour":
        colour = concept.name if wanted else draw(other(knowledge.colours, "colour"), "grey")
        return Scene(((draw(knowledge.paintable, "car"), colour),), place)
    members = [name for name in knowledge.members(concept.name) if name in things] or [concept.name]
    if wanted:
        return Scene(((draw(members, concept.name), ""),), place)
    # Half of the controls are near misses: what stands beside it in the tree of concepts.
    near = other([n for n in sample_neighbours(concept.name, knowledge) if n in things], "thing")
    return Scene(((draw(near if near and rng.random() < 0.5 else other(things, "thing"), "cup"), ""),), place)


def _literal(rows: Sequence[Row]) -> str:
    plain = (
        {"prompt": scene.prompt, "wanted": wanted, "things": [n for n, _ in scene.things]} for scene, wanted in rows
    )
    return "".join(f"    {row!r},\n" for row in plain)


def _drawn(notebook: Notebook) -> set[str]:
    """Returns the things that the generator drew as asked, so that fresh images are not spent on what it cannot."""
    rows = [row for _, plan, _ in notebook.results for row in plan if row["prompt"] not in notebook.notes]
    return {name for row in rows for name in row["things"]} or {"cup"}


def _spoilt(plan: Sequence[Any], notebook: Notebook) -> bool:
    """Says whether the generator could not follow so many prompts that the ranking means little."""
    return sum(row["prompt"] in notebook.notes for row in plan) > len(plan) // 4


Measured = tuple[int, Contrast]
"""A unit, and how what is asked for compares with the controls."""


def _holding(measured: Sequence[Measured]) -> list[Measured]:
    """Returns the units that hold on fresh images, the best first."""
    passed = significant([found.p for _, found in measured])
    return sorted(
        (pair for pair, good in zip(measured, passed, strict=True) if good and pair[1].auc >= HOLDS), key=_rank
    )


def _rank(pair: Measured) -> tuple[float, float]:
    return -round(pair[1].auc, 2), -pair[1].d


def _answer(asked: str, measured: Sequence[Measured], holding: Sequence[Measured]) -> Step:
    """Names the units that hold, the best first."""
    if not holding:
        tried = f"none of the {len(measured)} best holds on fresh images" if measured else "nothing was measured"
        say = f"No unit of this layer was found to be selective for {asked}: {tried}."
        return Step(say, [], answer=f"[ANSWER]: {say}\n[UNITS]: none")
    lines = [
        f"{unit}: on fresh images of {asked} mean activation {found.mean:.3g} (n = {found.positives}), on controls "
        f"{found.control_mean:.3g} (n = {found.controls}); AUC {found.auc:.2f} [{found.low:.2f}, {found.high:.2f}]"
        for unit, found in holding[:NAMED]
    ]
    verb = "respond" if len(holding) > 1 else "responds"
    say = (
        f"{len(holding)} of the {len(measured)} best candidates {verb} to {asked} more than to near misses, on fresh "
        "images that did not choose them."
    )
    if len(holding) > NAMED:
        say += f" The {NAMED} that do so most are named."
    return Step("Fresh images decide.", [], answer=f"[ANSWER]: {say}\n[UNITS]:\n" + "\n".join(lines))


def _contrasts(plan: Sequence[Any], units: Any, notebook: Notebook, seed: int) -> Iterator[tuple[int, Contrast]]:
    """Compares images with controls for each unit; images that do not show what was asked for are left out."""
    good = [number for number, row in enumerate(plan) if row["prompt"] not in notebook.notes]
    wanted = [number for number in good if plan[number]["wanted"]]
    controls = [number for number in good if not plan[number]["wanted"]]
    for unit, values in units.items() if isinstance(units, dict) and wanted and controls else ():
        if isinstance(values, list) and len(values) == len(plan):
            yield int(unit), contrast([values[n] for n in wanted], [values[n] for n in controls], seed)


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed % 2**32, *name.encode()])
