"""Scenes of one class whose attributes vary independently, and pairs of them that differ in one attribute."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from maia_heuristic.describing import read_description
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.reading import Notebook
from maia_heuristic.scenes import with_article

PAIRS = 14
"""Matched pairs for each candidate."""

MAX_SHOWN = 6
"""Neighbours, and backgrounds, that are taken from the exemplars."""

Values = dict[str, str]
"""The values of a scene's attributes by kind."""


OPPOSITE = {"small": "large", "large": "small", "1": "2", "2": "1"}
OPPOSITE |= {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


def levels_of(subject: str, notebook: Notebook) -> dict[str, list[str]]:
    """Returns the values that each attribute takes; a value that is listed twice is drawn twice as often.

    Neighbours and backgrounds are those that the exemplars show, and others. Half of the scenes have backgrounds that
    the exemplars show: among all that can be drawn, each would be in too few scenes to find its effect.
    """
    knowledge = notebook.knowledge
    inner = {kind for name in knowledge.backgrounds for kind in knowledge.above(name)}
    things = [*_neighbours(subject, notebook), *knowledge.neutral]
    places = sorted(knowledge.backgrounds - inner)
    shown = [place for place in _backgrounds(notebook) if place in places]
    others = [place for place in places if place not in shown]
    often = max(1, round(len(others) / len(shown))) if shown else 0
    return {
        "colour": ["", "", "", *knowledge.colours],
        "background": shown * often + others,
        "size": ["small", "large"],
        "position": ["left", "right", "top", "bottom"],
        "neighbour": list(dict.fromkeys(thing for thing in things if thing != subject))[:8],
        "number": ["1", "2"],
    }


def _descriptions(notebook: Notebook) -> Iterator[str]:
    """Yields the describer's text on each of the highest and lowest images of the class."""
    for name, _, rows in notebook.results:
        for row in rows if name == "class exemplars" else ():
            yield from map(str, row["texts"]) if isinstance(row.get("texts"), list) else ()


def _backgrounds(notebook: Notebook) -> list[str]:
    """Returns the backgrounds that describers saw behind the class, the most frequent first."""
    seen = Counter(
        place for text in _descriptions(notebook) for place in read_description(text, notebook.knowledge).backgrounds
    )
    return [place for place, _ in seen.most_common(MAX_SHOWN)]


def _neighbours(subject: str, notebook: Notebook) -> list[str]:
    """Returns the things that describers saw beside the class, the most frequent first."""
    knowledge = notebook.knowledge
    seen = Counter(thing for text in _descriptions(notebook) for thing in _things(text, knowledge))
    others = [t for t in seen if not (knowledge.is_a(t, subject) or knowledge.is_a(subject, t))]
    return sorted(others, key=lambda thing: -seen[thing])[:MAX_SHOWN]


def _things(text: str, knowledge: Knowledge) -> Iterator[str]:
    head, _, also = text.partition("; also:")
    for part in [head.partition(":")[2] or head, *also.split(",")]:
        if found := re.match(r"\s*([a-z][a-z' -]*?)\s*\((\d*\.?\d+)\)", part):
            name = knowledge.spelling(found[1])
            if float(found[2]) > 0.5 and name in knowledge.nouns:
                yield name


def random_scene(levels: dict[str, list[str]], rng: np.random.Generator) -> Values:
    drawn = {kind: str(rng.choice(values)) for kind, values in levels.items()}
    if rng.random() < 0.5:
        drawn["neighbour"] = ""
    if rng.random() < 0.3:
        drawn["position"] = ""
    return allowed(drawn)


def allowed(values: Values) -> Values:
    """Returns a scene that can be drawn: only a single thing has a position of its own."""
    alone = values["number"] == "1" and not values["neighbour"]
    return values if alone else {**values, "position": ""}


def prompt_of(subject: str, values: Values) -> str:
    noun = " ".join(word for word in (values["size"], values["colour"], subject) if word)
    text = with_article(noun) if values["number"] == "1" else f"{values['number']} {noun}s"
    if where := values["position"]:
        text += f" {'at' if where in ('top', 'bottom') else 'on'} the {where}"
    if values["neighbour"]:
        text += f" next to {with_article(values['neighbour'])}"
    return f"{text} on {values['background']}"


def pairs_of(number: int, values: Values, levels: dict[str, list[str]], rng: np.random.Generator) -> Iterator[Any]:
    """Yields the two scenes of each pair: with the values, and with another value of one of them."""
    for pair in range(PAIRS):
        changed = list(values)[pair % len(values)]
        scene = {**random_scene(levels, rng), **values}
        if "position" in values:
            scene |= {"number": "1", "neighbour": ""}
        scene = allowed(scene)
        others = [value for value in levels[changed] if value not in ("", values[changed])]
        other = OPPOSITE.get(values[changed]) or str(rng.choice(others))
        if changed == "neighbour" and pair % 4 < 2:
            other = ""
        for shown, row in ((1, scene), (0, {**scene, changed: other})):
            yield {**row, "about": number, "pair": pair, "shown": shown}


def words_of(subject: str, values: Values) -> str:
    """Returns values in words that a prompt could use."""
    words = []
    for kind, value in values.items():
        if kind == "number":
            words.append("single" if value == "1" else f"two {subject}s")
        elif kind == "position":
            words.append(f"{'at' if value in ('top', 'bottom') else 'on'} the {value}")
        elif kind == "neighbour":
            words.append(f"next to {with_article(value)}")
        else:
            words.append(f"on {value}" if kind == "background" else value)
    return " and ".join(words)
