"""The list of runs: what a query of its address selects, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from maia_view.rows import RunRow

PER_PAGE = 100

FILTERS: dict[str, Callable[[RunRow], str]] = {
    "model": lambda row: row.model,
    "layer": lambda row: row.layer,
    "backbone": lambda row: row.backbone,
    "status": lambda row: row.status,
    "verdict": lambda row: row.verdict or "not tested",
}
"""What rows can be chosen by, by its name in the address."""

VERDICTS = ("not verified", "partly verified", "verified")
"""Verdicts of answers, the worst first."""

SORTS: dict[str, tuple[str, Callable[[RunRow], Any]]] = {
    "label": ("label", lambda row: row.label.casefold() or None),
    "unit": ("unit", lambda row: natural(row.ref) if row.model or row.layer or row.unit else None),
    "backbone": ("backbone", lambda row: row.backbone or None),
    "verdict": ("verdict", lambda row: VERDICTS.index(row.verdict) if row.verdict else None),
    "fit": ("r", lambda row: row.fit),
    "cost": ("cost", lambda row: row.cost),
    "turns": ("turns", lambda row: row.turns or None),
    "seconds": ("time", lambda row: row.seconds or None),
    "created": ("started", lambda row: row.created or None),
}
"""Column to its heading, and to what it is sorted by; None stands last in either direction."""

FIRST_HIGH = ("verdict", "fit", "cost", "turns", "seconds", "created")
"""Columns that a first click sorts from high to low."""


@dataclass(frozen=True)
class Selection:
    """What the address of the list asks for.

    Attributes:
        words: Words that a row must hold.
        chosen: Filter to the value that a row must have.
        sort: Column; empty for the order in which the runs were written last.
        descending: Whether high values stand first.
        page: Number of the page, from 1.
    """

    words: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    sort: str = ""
    descending: bool = False
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Selection:
        """Reads the query of an address; what it does not know it leaves out."""
        sort = query.get("sort", "")
        return cls(
            words=query.get("q", "")[:200],
            chosen=chosen_by(FILTERS, query),
            sort=sort.lstrip("-") if sort.lstrip("-") in SORTS else "",
            descending=sort.startswith("-"),
            page=page_of(query),
        )

    @property
    def takes_all(self) -> bool:
        """Whether every run must be read to answer."""
        return bool(self.words.strip() or self.chosen or self.sort)

    def query(self, **changes: str | int) -> dict[str, str | int]:
        """Returns the query of an address that asks for this, with changes; one without `page` goes to the first."""
        sort = f"{'-' if self.descending else ''}{self.sort}" if self.sort else ""
        return {"q": self.words, **self.chosen, "sort": sort} | changes

    def sorted_by(self, column: str) -> dict[str, str | int]:
        """Returns the query that sorts by a column; once more, the other way round."""
        descending = not self.descending if column == self.sort else column in FIRST_HIGH
        return self.query(sort=f"{'-' if descending else ''}{column}")

    def select(self, rows: Iterable[RunRow]) -> list[RunRow]:
        """Returns the rows that were asked for, in order."""
        found = having(rows, FILTERS, self.chosen, self.words)
        return ordered(found, SORTS[self.sort][1], self.descending) if self.sort else found


class Searched(Protocol):
    """A row of a list.

    Attributes:
        text: What a search looks at, in lower case.
    """

    @property
    def text(self) -> str: ...


R = TypeVar("R", bound=Searched)
Filters = Mapping[str, Callable[[R], str]]
"""What rows can be chosen by, by its name in the address."""


def page_of(query: Mapping[str, str]) -> int:
    """Returns the number of the page that an address asks for, from 1."""
    page = query.get("page", "1")
    return int(page) if page.isascii() and page.isdigit() and 0 < len(page) < 7 else 1


def pages_for(count: int, per_page: int) -> int:
    """Returns the number of pages that hold this many rows; at least one."""
    return max(1, -(-count // per_page))


def chosen_by(filters: Filters[R], query: Mapping[str, str]) -> dict[str, str]:
    """Returns the value that an address asks for, of each filter that it names."""
    return {name: value for name in filters if (value := query.get(name, ""))}


def having(rows: Iterable[R], filters: Filters[R], chosen: Mapping[str, str], words: str) -> list[R]:
    """Returns the rows with the chosen values whose text holds all words."""
    each = words.casefold().split()
    found = (row for row in rows if all(filters[name](row) == value for name, value in chosen.items()))
    return [row for row in found if all(word in row.text for word in each)]


def ordered(rows: Sequence[R], value: Callable[[R], Any], descending: bool) -> list[R]:
    """Returns rows in the order of a value; those whose value is None stand last in either direction."""
    known = [row for row in rows if value(row) is not None]
    unknown = [row for row in rows if value(row) is None]
    return sorted(known, key=value, reverse=descending) + unknown


def choices(rows: Sequence[R], filters: Filters[R]) -> dict[str, list[str]]:
    """Returns the values that each filter can have, of filters that have a choice."""
    values = {name: sorted({value for row in rows if (value := of(row))}, key=natural) for name, of in filters.items()}
    return {name: found for name, found in values.items() if len(found) > 1}


def natural(text: str) -> list[tuple[int, int, str]]:
    """Returns a key that sorts numbers in a text by value: unit 9 before unit 10."""
    parts: list[tuple[int, int, str]] = []
    for word in filter(None, re.split(r"(\d+)", text.casefold())):
        digits = word.isascii() and word.isdigit() and len(word) < 16
        parts.append((0, int(word), "") if digits else (1, 0, word))
    return parts
