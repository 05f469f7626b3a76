"""Concept sets: the candidates of explainers that choose among concepts, by name or from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from maia_core.plugin import LabelledDataset, RunContext, UsageError, content_id, decoded, did_you_mean, printable

COLLAGE_SET = "collage"
"""Name of the offline concept set: everything that collages can show."""

SOURCES = ("collage-cutouts", "collage-backgrounds")
"""Labelled data sets whose names, specific and broad, it consists of."""

COLOURS = ("black", "grey", "white", "red", "orange", "brown", "yellow", "green", "turquoise", "blue", "purple", "pink")
"""The eleven basic colour terms of English (Berlin and Kay 1969), and turquoise between green and blue."""

MAX_CHARACTERS = 200
"""Most characters of a concept; a longer line is an error."""

MAX_NAMED = 3
"""Duplicates that a warning names."""


@dataclass(frozen=True)
class ConceptSet:
    """Concepts to choose from, no two of them the same but for upper and lower case.

    Attributes:
        name: What the record calls it.
        concepts: The concepts, in the order of their source.
    """

    name: str
    concepts: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Changes whenever the concepts or their order do."""
        return content_id(*(concept.encode() for concept in self.concepts))


def concept_set(source: str, context: RunContext) -> ConceptSet:
    """Returns the concept set of a name (`collage`) or a text file with one concept per line.

    Empty lines and lines that begin with `#` are left out; concepts that occur more than once are merged, with one
    warning.

    Raises:
        UsageError: there is no such set or file, or the file holds no concepts.
    """
    if source == COLLAGE_SET:
        return ConceptSet(COLLAGE_SET, tuple(_collage_concepts(context)))
    path = Path(source).expanduser()
    if not path.is_file():
        hint = did_you_mean(source, [COLLAGE_SET])
        raise UsageError(
            f"there is no concept set '{printable(source, 200)}'.{hint} "
            f"Name '{COLLAGE_SET}' or a text file with one concept per line"
        )
    return ConceptSet(path.name, merged(_lines(path), str(path), context.warn))


def merged(
    found: Iterable[tuple[int, str]], where: str, warn: Callable[[str], None], place: str = "lines"
) -> tuple[str, ...]:
    """Returns concepts once each, the first spelling of those that differ in upper and lower case alone.

    Args:
        found: Numbers of lines, and concepts.
        where: The source, for messages.
        warn: Is told of the duplicates, in one line.
        place: What the numbers count.

    Raises:
        UsageError: there is no concept.
    """
    first: dict[str, tuple[int, str]] = {}
    twice: list[str] = []
    for number, concept in found:
        known = first.setdefault(" ".join(concept.casefold().split()), (number, concept))
        if known != (number, concept):
            twice.append(f"'{concept}' in {place} {known[0]} and {number}")
    if not first:
        raise UsageError(f"the concept set {where} holds no concept; write one per line")
    if twice:
        more = f" and {len(twice) - MAX_NAMED} more" if len(twice) > MAX_NAMED else ""
        warn(f"the concept set {where} holds duplicates, which were merged: {', '.join(twice[:MAX_NAMED])}{more}")
    return tuple(concept for _, concept in first.values())


def _collage_concepts(context: RunContext) -> Iterator[str]:
    known: dict[str, None] = {}
    for name in SOURCES:
        dataset: LabelledDataset = context.build("dataset", name)
        for index in range(len(dataset)):
            known.update(dict.fromkeys(dataset.concepts(index)))
    yield from known
    yield from (f"{colour} things" for colour in COLOURS)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the concept set {path}: it must be a text file in UTF-8 ({why})") from error
    for number, line in enumerate(text.splitlines(), start=1):
        concept = line.strip()
        if not concept or concept.startswith("#"):
            continue
        if len(concept) > MAX_CHARACTERS or not concept.isprintable():
            raise UsageError(f"{path}, line {number}: '{printable(concept, 60)}' is not a concept; write one per line")
        yield number, concept
