"""Matched pairs of prompts: images of a class with and without an attribute, all else alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from typing import NamedTuple

from maia_bias.attributes import Feature, Kind
from maia_labels.prompt import parse
from maia_labels.vocabulary import article, plural, vocabulary

PLACES = ("grass", "sand", "snow", "brick", "wood", "gravel", "leaves", "asphalt", "a plain grey background", "forest")
"""Backgrounds that pairs are spread over, and that take the place of one that a subgroup names."""

COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "purple", "orange")
PLAIN_PLACES = tuple(f"a plain {colour} background" for colour in COLOURS)
THINGS = ("a ball", "a cup", "a chair", "a book", "a hat", "a car", "an apple", "a shoe")
SMALLER_OR_LARGER = {"tiny": "large", "small": "large", "large": "small", "huge": "small"}
OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


class Pair(NamedTuple):
    """Two prompts that differ in an attribute.

    Attributes:
        with_: An image of the subgroup.
        without: An image of the class outside of it.
        edit: Instruction that turns the second into one of the subgroup; empty where none is known.
        part: Which part of the subgroup the two differ in.
    """

    with_: str
    without: str
    edit: str = ""
    part: str = ""


def write_pairs(
    subject: str,
    alternatives: Sequence[Sequence[Feature]],
    n: int,
    places: Sequence[str] = PLACES,
    others: Sequence[Feature] = (),
) -> list[Pair]:
    """Writes `n` pairs; of several features that a subgroup needs together, each pair leaves out one.

    Both images of a pair lack the subgroup's other alternatives: where each suffices, one would hide the effect of the
    others. For the same reason both images of every second two pairs lack what the other findings of the answer name.
    The pairs between show it, so that an attribute that matters only together with another one has its effect, too.

    Args:
        subject: Name of the class.
        alternatives: What the subgroup is, see `maia_bias.attributes.read_attribute`.
        n: Number of pairs.
        places: Backgrounds to use.
        others: What the other findings name.
    """
    own = [feature for features in alternatives for feature in features]
    excluded = {(feature.kind, feature.value) for feature in own}
    avoided = excluded | {(feature.kind, feature.value) for feature in others}
    free = [place for place in places if not _names("background", place, avoided)]
    parts = [(features, feature) for features in alternatives for feature in features]
    number = dict.fromkeys(range(len(parts)), -1)
    spread = cycle(free or places)
    pairs = []
    for place in islice(cycle(range(len(parts))), n):
        features, changed = parts[place]
        number[place] += 1
        turn = number[place]
        kinds = {feature.kind for feature in features}
        surroundings = [f if turn // 2 % 2 else _without(f) for f in others] + [_without(f) for f in own]
        state: dict[Kind, str] = {"background": next(spread)}
        state |= {f.kind: _around(f, turn, avoided, state) for f in surroundings if f.kind not in kinds}
        state |= {f.kind: _value(f, turn, excluded) for f in features if f is not changed}
        inside = {**state, changed.kind: _value(changed, turn, excluded)}
        changed_back = _without(changed)
        outside = {**state, changed.kind: _value(changed_back, turn, avoided) or _value(changed_back, turn, excluded)}
        edit = _edit(subject, changed.kind, outside, inside)
        pairs.append(Pair(_prompt(subject, inside), _prompt(subject, outside), edit, changed.words))
    return pairs


def _around(feature: Feature, number: int, avoided: set[tuple[Kind, str]], state: dict[Kind, str]) -> str:
    """Returns the value that both images of a pair have of an attribute that the pair does not test."""
    if feature.negated and feature.kind in ("background", "neighbour"):
        return state["background"] if feature.kind == "background" else ""
    return _value(feature, number, avoided)


def _without(feature: Feature) -> Feature:
    return feature._replace(negated=not feature.negated)


def _value(feature: Feature, number: int, excluded: set[tuple[Kind, str]]) -> str:
    """Returns the value of an attribute in the `number`th pair; another value for a negated feature."""
    if not feature.negated:
        return THINGS[number % len(THINGS)] if feature == Feature("neighbour", "") else feature.value
    values = [value for value in _others(feature) if not _names(feature.kind, value, excluded)]
    return values[number % len(values)] if values else ""


def _others(feature: Feature) -> Iterable[str]:
    value = feature.value
    if feature.kind == "background":
        return PLAIN_PLACES if "plain" in value else PLACES
    if feature.kind == "colour":
        return COLOURS
    if feature.kind == "size":
        return (SMALLER_OR_LARGER[value],)
    if feature.kind == "position":
        opposite = " ".join(OPPOSITE.get(word, word) for word in value.split())
        return ("on the left", "on the right", "at the top", "at the bottom") if "centre" in value else (opposite,)
    if feature.kind == "count":
        return ("2" if value == "1" else "1",)
    # Half of the pairs have another neighbour, so that it is not the number of things that counts; half have none.
    return [n for thing in THINGS for n in (thing, "")] if value else ("",)


def _names(kind: Kind, value: str, excluded: set[tuple[Kind, str]]) -> bool:
    return any(_related(kind, value, named) for other, named in excluded if other == kind)


def _related(kind: Kind, value: str, excluded: str) -> bool:
    """Says whether a value is, or may be seen as, one that the subgroup names."""
    if not value or not excluded:
        return False
    if kind == "background":
        one, other = (
            place.kind if (place := parse(f"a thing on {text}").place) else None for text in (value, excluded)
        )
        kinds = vocabulary().kinds
        plain = "plain" in value and "plain" in excluded
        return value == excluded or bool(
            one and other and not plain and (one in kinds.path(other) or other in kinds.path(one))
        )
    if kind == "neighbour":
        one, other = (things[0].concept if (things := parse(text).things) else None for text in (value, excluded))
        paths = vocabulary().concepts.path
        return bool(one and other and (one in paths(other) or other in paths(one)))
    return value in excluded.split() or value == excluded


def _prompt(subject: str, state: dict[Kind, str]) -> str:
    """Returns an image of the class in plain English."""
    count = int(state.get("count", "1"))
    words = [state.get("size", ""), state.get("colour", ""), subject if count == 1 else plural(subject)]
    noun = " ".join(word for word in words if word)
    text = article(noun) if count == 1 else f"{count} {noun}"
    if where := state.get("position"):
        text += f" {where}"
    if near := state.get("neighbour"):
        text += f" next to {near}"
    return f"{text} on {state['background']}" if state.get("background") else text


def _edit(subject: str, kind: Kind, before: dict[Kind, str], after: dict[Kind, str]) -> str:
    """Returns the instruction that makes one value another; empty where no edit does."""
    old, new = before.get(kind, ""), after.get(kind, "")
    if kind == "background":
        return f"change the background to {new}"
    if kind == "colour":
        return f"change the colour of the {subject} to {new}"
    if kind == "size":
        return f"make the {subject} {new}"
    if kind == "position":
        return f"move the {subject} to {new.partition(' ')[2]}"
    if kind == "count":
        return f"add {article(subject)}" if (old, new) == ("1", "2") else ""
    if old and new:
        return f"replace {_the(old)} with {new}"
    return f"add {new} next to the {subject}" if new else f"remove {_the(old)}"


def _the(noun: str) -> str:
    return "the " + noun.removeprefix("a ").removeprefix("an ")
