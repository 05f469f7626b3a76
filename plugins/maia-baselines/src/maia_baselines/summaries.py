"""Reading a describer's summary: one label for the content that images have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maia_baselines import concepts
from maia_labels import any_of

COUNTED = re.compile(r"^common to (?P<images>\d+) images?: (?P<clauses>.*)$")
"""A summary that counts, as the describer `nearest` writes it (the grammar is in its README)."""

ENTRY = re.compile(r"(?P<name>[^;,()]+?) \((?P<count>\d+)\)")

COLOURS = frozenset(concepts.COLOURS)
"""Colours stand among backgrounds in the clause `on`."""

COMMON_SHARE = 0.5
"""Share of the images that must show something for it to be common to them."""

SEVERAL_SHARE = 0.2
"""Share of the images that one of several names must be in where no name is in most."""

FALLBACK_CLAUSES = (("names", "{}"), ("kind", "{}"), ("colours", "{} things"))
"""The clauses that a label is taken from where nothing is in many images: what is in the most, however few."""

MAX_CHARACTERS = 120
"""Most characters of a label that is taken from free text."""

LEAD = re.compile(
    r"(?:(?:most|all|each|many|both|some|of|the|these|them|they|what|that|images?|regions?|parts?|pictures?|photos?|bright"
    r"|unmasked|mostly|mainly|commonly|have|has|in|common|shows?|depicts?|contains?|features?|shares?|displays?|includes?"
    r"|is|are)[,:]?\s+)+",
    re.IGNORECASE,
)
"""The beginning of a free text, before the thing that it names: "Most of the images show ..."."""


@dataclass(frozen=True)
class Counts:
    """A summary that counts.

    Attributes:
        images: How many images it is about.
        clauses: Of each clause (names, kind, colours, texture, on) what was counted, in its order.
    """

    images: int
    clauses: dict[str, dict[str, int]]


def counts(summary: str) -> Counts | None:
    """Reads a summary that counts; None where it is free text."""
    found = COUNTED.match(summary.strip())
    if found is None:
        return None
    clauses: dict[str, dict[str, int]] = {}
    for clause in found["clauses"].split("; "):
        name, colon, entries = clause.partition(": ")
        if colon:
            clauses[name] = {each["name"].strip(): int(each["count"]) for each in ENTRY.finditer(entries)}
    return Counts(int(found["images"]), clauses)


def label(summary: str, describe: Callable[[], Sequence[str]]) -> str:
    """Returns one label for what images have in common, or an empty string where the summary says nothing.

    From a summary that counts: the name that most images show, else the most specific kind, else the background, else
    the colour, else the names that are in a fifth of the images or more, joined by OR, else whatever is in the most.
    From free text: what its first sentence says that the images show.

    Args:
        summary: What the describer said.
        describe: Returns descriptions of the images, which list kinds from specific to broad; asked only where two
            kinds are in equally many images.
    """
    counted = counts(summary)
    if counted is None:
        return _free(summary)
    most = COMMON_SHARE * counted.images
    names = counted.clauses.get("names", {})
    if common := [name for name, count in names.items() if count >= most]:
        return common[0]
    kinds = {kind: count for kind, count in counted.clauses.get("kind", {}).items() if count >= most}
    if kinds:
        return _specific(kinds, describe)
    for clause, form in (("on", "{}"), ("colours", "{} things")):
        found = counted.clauses.get(clause, {})
        shared = [name for name, count in found.items() if count >= most and (name not in COLOURS or clause != "on")]
        if shared and shared[0] != "plain":
            return form.format(shared[0])
    if several := [name for name, count in names.items() if count >= SEVERAL_SHARE * counted.images]:
        return any_of(several)
    return max(
        (
            (count, form.format(name))
            for clause, form in FALLBACK_CLAUSES
            for name, count in counted.clauses.get(clause, {}).items()
        ),
        key=lambda found: found[0],
        default=(0, ""),
    )[1]


def _specific(kinds: dict[str, int], describe: Callable[[], Sequence[str]]) -> str:
    """Returns the most specific of several kinds: the one in the fewest images, or that descriptions put first."""
    fewest = min(kinds.values())
    tied = [kind for kind, count in kinds.items() if count == fewest]
    if len(tied) == 1:
        return tied[0]
    places = dict.fromkeys(tied, 0)
    for text in describe():
        listed = re.findall(r"([^:,;()]+?) \(\d", text.partition("kind: ")[2].partition(";")[0])
        order = [name.strip() for name in listed if name.strip() in places]
        for place, kind in enumerate(order):
            places[kind] += place
    return min(tied, key=lambda kind: places[kind])


def _free(summary: str) -> str:
    first = re.split(r"(?<=[.!?])\s", " ".join(summary.split()), maxsplit=1)[0].rstrip(".!? ")
    if not first or first.lower().startswith("nothing"):
        return ""
    lead = LEAD.match(first)
    named = first[lead.end() :] if lead else first
    return named if len(named) <= MAX_CHARACTERS else named[:MAX_CHARACTERS].rpartition(" ")[0]
