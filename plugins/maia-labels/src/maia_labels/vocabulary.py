"""The words of the laboratory: a tree of concepts, a tree of backgrounds, and what people call them.

Both trees are data files in which each concept stands once, under its broader one. A name that means the same
(`names.json`) is taken without a word; one that only comes near (`synonyms.json`, `stand-ins`) is a substitution.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

_IRREGULAR = {
    "mice": "mouse", "geese": "goose", "oxen": "ox", "wolves": "wolf", "calves": "calf", "knives": "knife",
    "leaves": "leaf", "loaves": "loaf", "people": "person", "men": "man", "women": "woman", "children": "child",
    "firemen": "fireman", "teeth": "tooth", "feet": "foot", "cacti": "cactus", "fungi": "fungus", "octopi": "octopus",
    "hippopotami": "hippopotamus", "scarves": "scarf",
}  # fmt: skip


PLAIN = "plain background"
PATTERNS = ("stripes", "dots", "checks")
"""Kinds of background that have any colour."""


class Entry(NamedTuple):
    """The concept or background that a phrase stands for.

    Attributes:
        name: The concept or the kind of background.
        background: True for a kind of background.
        plural: The phrase is the plural of a name.
        exact: False for a stand-in, of which a warning must inform the reader.
    """

    name: str
    background: bool
    plural: bool = False
    exact: bool = True


class Tree:
    """Concepts, each under its broader one."""

    def __init__(self, nested: Mapping[str, Any]) -> None:
        self.parent: dict[str, str | None] = {}
        self._children: dict[str, list[str]] = {}
        self._read(nested, None)

    def _read(self, nested: Mapping[str, Any], parent: str | None) -> None:
        for name, below in nested.items():
            self.parent[name] = parent
            self._children[name] = list(below)
            self._read(below, name)

    def __contains__(self, name: object) -> bool:
        return name in self.parent

    def __iter__(self) -> Iterator[str]:
        return iter(self.parent)

    def path(self, name: str) -> list[str]:
        """Returns a concept and its broader ones, the most specific first."""
        path = []
        step: str | None = name
        while step is not None:
            path.append(step)
            step = self.parent[step]
        return path

    def below(self, name: str) -> list[str]:
        """Returns a concept and all narrower ones, in the order of the tree."""
        return [name, *(found for child in self._children[name] for found in self.below(child))]


class Vocabulary:
    """Both trees and every phrase that names something in them.

    Attributes:
        concepts: Of objects.
        kinds: Of backgrounds.
        natural: The colour that a kind of background has by itself.
    """

    def __init__(self) -> None:
        backgrounds = _data("backgrounds")
        self.concepts = Tree(_data("concepts"))
        self.kinds = Tree(backgrounds["kinds"])
        self.natural: dict[str, str] = backgrounds["colours"]
        self._entries: dict[str, Entry] = {}
        for background, names, exact in (
            (False, {name: [name] for name in self.concepts}, True),
            (True, {name: [name] for name in self.kinds}, True),
            (False, _data("names"), True),
            (True, backgrounds["names"], True),
            (True, backgrounds["stand-ins"], False),
            (False, _data("synonyms"), False),
        ):
            for name, phrases in names.items():
                for phrase in phrases:
                    self._entries.setdefault(phrase.replace("-", " "), Entry(name, background, exact=exact))
        self.longest = max(len(phrase.split()) for phrase in self._entries)

    def find(self, phrase: str) -> Entry | None:
        """Returns what a lower-case phrase stands for, as it is or as a plural."""
        if entry := self._entries.get(phrase):
            return entry
        head, space, last = phrase.rpartition(" ")
        for singular in singulars(last):
            if entry := self._entries.get(head + space + singular):
                return entry._replace(plural=True)
        return None

    def path(self, entry: Entry) -> list[str]:
        """Returns the name of an entry and its broader ones."""
        return (self.kinds if entry.background else self.concepts).path(entry.name)


def singulars(word: str) -> list[str]:
    """Returns what a plural may be the plural of, the likeliest first."""
    if word in _IRREGULAR:
        return [_IRREGULAR[word]]
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return []
    forms = [word[:-1]]
    if word.endswith("ies"):
        forms.insert(0, word[:-3] + "y")
    elif word.endswith("es"):
        forms.append(word[:-2])
    return forms


def plural(phrase: str) -> str:
    """Returns the plural of a name; a name that is a plural already stays."""
    head, space, last = phrase.rpartition(" ")
    for many, one in _IRREGULAR.items():
        if one == last:
            return head + space + many
    if last in ("sheep", "deer", "bison", "fish", "scissors", "pliers", "binoculars", "grapes") or last.endswith(
        "fish"
    ):
        return phrase
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return head + space + last[:-1] + "ies"
    return phrase + ("es" if last.endswith(("s", "x", "ch", "sh")) or last in ("tomato", "potato") else "s")


def article(phrase: str) -> str:
    """Returns a name with its indefinite article."""
    return f"{'an' if phrase[:1] in 'aeiou' else 'a'} {phrase}"


@cache
def vocabulary() -> Vocabulary:
    """Returns the vocabulary, read once a process."""
    return Vocabulary()


def _data(name: str) -> Any:
    return json.loads(resources.files("maia_labels").joinpath("data", f"{name}.json").read_text(encoding="utf-8"))
