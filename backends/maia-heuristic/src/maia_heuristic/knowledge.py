"""What words mean to the scientist: a small dictionary, and what the describer taught it during the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any


@cache
def _lexicon() -> dict[str, Any]:
    text = resources.files("maia_heuristic").joinpath("data/lexicon.json").read_text(encoding="utf-8")
    lexicon: dict[str, Any] = json.loads(text)
    return lexicon


class Knowledge:
    """Names and which is a kind of which.

    Attributes:
        nouns: Names and kinds of objects, as the dictionary has them.
        backgrounds: Names and kinds of backgrounds.
        patterns: Names of patterns.
        colours: Basic colour terms.
        paintable: Objects that come in any colour.
        neutral: Objects that have little to do with anything else.
        stopwords: Words that name nothing.
    """

    def __init__(self) -> None:
        lexicon = _lexicon()
        self._above: dict[str, list[str]] = {}
        for tree in ("things", "backgrounds", "patterns"):
            for path in _paths(lexicon[tree]):
                self._above.setdefault(path[-1], list(reversed(path[:-1])))
        self.nouns = frozenset(path[-1] for path in _paths(lexicon["things"]))
        self.backgrounds = frozenset(path[-1] for path in _paths(lexicon["backgrounds"]))
        self.patterns = frozenset(path[-1] for path in _paths(lexicon["patterns"]))
        self.colours = tuple(lexicon["colours"])
        self.paintable = tuple(lexicon["paintable"])
        self.neutral = tuple(lexicon["neutral"])
        self.stopwords = frozenset(lexicon["stopwords"])
        self._spellings: Mapping[str, str] = lexicon["spellings"]
        self._taught: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.missing: frozenset[str] = frozenset()
        """Names that the generator cannot show: they do not belong to any kind here."""
        self._painted: dict[str, list[dict[str, float]]] = {}
        self._members: dict[str, list[str]] = {}
        self._shares: dict[tuple[str, str], float] = {}
        self._kinds = {kind for kinds in self._above.values() for kind in kinds}

    def spelling(self, word: str) -> str:
        """Returns the dictionary's form of a word: known synonyms and plurals become the name used here."""
        word = word.strip().lower()
        if word in self._spellings:
            return self._spellings[word]
        known = self._above.keys() | set(self.colours)
        for ending, replacement in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
            if word not in known and word.endswith(ending) and word[: -len(ending)] + replacement in known:
                return word[: -len(ending)] + replacement
        return word

    def teach(self, name: str, kinds: Sequence[str]) -> None:
        """Takes the describer's word for it that `name` is a kind of each of `kinds`, narrow to broad."""
        if kinds:
            self._taught[name, tuple(kinds)] += 1

    def teach_colours(self, name: str, shares: Mapping[str, float]) -> None:
        """Takes what colours a thing of that name had where its colour was left open."""
        self._painted.setdefault(name, []).append(dict(shares))

    def natural(self, name: str, colour: str) -> float:
        """Returns how likely a thing of that name has a colour when none is asked for, in [0, 1]."""
        seen = self._painted.get(name, [])
        # A third of an unseen image is assumed, of any colour.
        return (0.03 + sum(shares.get(colour, 0.0) for shares in seen)) / (0.3 + len(seen))

    def learn(self) -> None:
        """Works out, once all was taught, what is a kind of what: the describer's usual word, then the dictionary's."""
        self._members, self._shares = {}, {}
        best: dict[str, tuple[int, tuple[str, ...]]] = {}
        for (name, kinds), count in sorted(self._taught.items()):
            if count > best.get(name, (0, ()))[0]:
                best[name] = (count, kinds)
        for name, (_, kinds) in best.items():
            for place, child in enumerate([name, *kinds]):
                above = [kind for kind in kinds[place:] if kind != child]
                self._above[child] = [*above, *(a for a in self._above.get(child, []) if a not in above)]
        self._align({name: kinds for name, (_, kinds) in best.items()})
        self._kinds = {kind for kinds in self._above.values() for kind in kinds}

    def _align(self, taught: Mapping[str, tuple[str, ...]]) -> None:
        """Extends a kind that the describer uses to names it has not said, where the dictionary has the same kind.

        If everything it called a "cat family" is a "feline" and the other way round, then every feline is one.
        """
        above = {name: set(kinds) for name, kinds in self._above.items()}
        for kind in sorted({kind for kinds in taught.values() for kind in kinds} - self.nouns):
            inside = {name for name, kinds in taught.items() if kind in kinds and name in self.nouns}
            # The narrowest first: everything that was called a cat family may be called an animal too.
            size = {k: sum(k in above.get(noun, ()) for noun in self.nouns) for name in inside for k in above[name]}
            rivals = sorted((k for k in size if k in self.nouns), key=lambda k: (size[k], k))
            for rival in rivals if len(inside) > 1 else ():
                if inside == {name for name in taught if rival in above.get(name, ())}:
                    for name in self.nouns:
                        if rival in above.get(name, ()) and kind not in above[name]:
                            self._above[name].insert(self._above[name].index(rival), kind)
                    break

    def above(self, name: str) -> list[str]:
        """Returns the broader concepts of a name, nearest first."""
        return [kind for kind in self._above.get(name, []) if kind != name]

    def is_a(self, name: str, kind: str) -> bool:
        """Says whether `name` is `kind` or a kind of it."""
        return name == kind or kind in self._above.get(name, ())

    def members(self, kind: str) -> list[str]:
        """Returns the most specific names under a kind, itself if there are none, in alphabetical order."""
        if kind not in self._members:
            below = [name for name, kinds in self._above.items() if kind in kinds and name != kind]
            inner = {k for name in below for k in self._above[name]}
            self._members[kind] = sorted(name for name in below if name not in inner | self.missing) or [kind]
        return self._members[kind]

    def is_kind(self, name: str) -> bool:
        """Says whether a name has others under it, whether or not the generator can show them."""
        return name in self._kinds

    def specific(self) -> list[str]:
        """Returns every name of an object that is not itself a kind of others, in alphabetical order."""
        surfaces = self.backgrounds | self.patterns
        return sorted(name for name in self._above if name not in self._kinds and name not in surfaces)

    def share(self, kind: str, concept: str) -> float:
        """Returns how likely an unspecified `kind` is a `concept`: 1 for a kind of it, else its members' share."""
        if self.is_a(kind, concept):
            return 1.0
        if not self.is_a(concept, kind):
            return 0.0
        if (kind, concept) not in self._shares:
            members = self.members(kind)
            self._shares[kind, concept] = sum(self.is_a(member, concept) for member in members) / len(members)
        return self._shares[kind, concept]


def _paths(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, below in tree.items():
        yield (*above, name)
        yield from _paths(below, (*above, name))
