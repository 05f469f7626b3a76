"""The grammar of descriptions and summaries: see the README for what each clause means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maia_core.plugin import Mask

NOTHING = "nothing is unmasked"
PLAIN = "nothing stands out"

LISTED = 5
"""Most entries of one clause of a summary."""

COUNTS = 0.3
"""Confidence from which on a name counts for a summary."""

MAJORITY = 0.5
"""Probability from which on a kind is given, and counts for a summary."""

MIN_VOTES = 0.25
"""Probability below which no kind is given."""

MIN_COLOUR = 0.1
"""Smallest share of the region that a colour is given for."""


@dataclass(frozen=True)
class Finding:
    """Measurements of one image; an empty field was not measured, or found nothing.

    Attributes:
        nothing: Why there are no names: `NOTHING`, `PLAIN`, or an empty string.
        names: Nearest concepts with their confidence, the nearest first.
        kinds: Broader concepts with their probability, the most specific first.
        colours: Colours of the region with their shares, the largest first.
        texture: `smooth`, `fine` or `rough`.
        on: What is around the object: a background's name (or `plain`) and its main colour.
        share: The region's share of the image.
        place: Where the region lies.
        also: Other objects: name, confidence, place.
    """

    nothing: str = ""
    names: tuple[tuple[str, float], ...] = ()
    kinds: tuple[tuple[str, float], ...] = ()
    colours: tuple[tuple[str, float], ...] = ()
    texture: str = ""
    on: tuple[str, ...] = ()
    share: float = 0.0
    place: str = ""
    also: tuple[tuple[str, float, str], ...] = ()


def place(mask: Mask) -> str:
    """Says where a region's centre of mass lies: `centre`, `left`, `top right`, ..."""
    rows, columns = np.nonzero(mask)
    vertical = ("top", "", "bottom")[min(2, int(3 * (rows.mean() + 0.5) / mask.shape[0]))]
    horizontal = ("left", "", "right")[min(2, int(3 * (columns.mean() + 0.5) / mask.shape[1]))]
    return f"{vertical} {horizontal}".strip() or "centre"


def main_colours(shares: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Returns at most three colours that have a tenth of the region or more, the largest first."""
    return tuple((name, share) for name, share in shares.items() if share >= MIN_COLOUR)[:3]


def main_kinds(votes: Mapping[str, float], frequency: Mapping[str, int]) -> tuple[tuple[str, float], ...]:
    """Returns the likely kinds (without one: the likeliest), the rarest, so most specific, first."""
    chosen = {kind: share for kind, share in votes.items() if share >= MAJORITY}
    if not chosen and (best := max(votes, key=lambda kind: votes[kind], default=None)) and votes[best] >= MIN_VOTES:
        chosen = {best: votes[best]}
    return tuple(sorted(chosen.items(), key=lambda item: (frequency[item[0]], -item[1])))


def describe(found: Finding) -> str:
    """Writes a finding as one line."""
    if found.nothing == NOTHING:
        return NOTHING
    clauses = [found.nothing or ", ".join(f"{name} ({confidence:.2f})" for name, confidence in found.names)]
    if found.kinds:
        clauses.append("kind: " + ", ".join(f"{kind} ({share:.2f})" for kind, share in found.kinds))
    if found.colours:
        clauses.append("colours: " + ", ".join(f"{colour} {percent(share)}" for colour, share in found.colours))
    if found.texture:
        clauses.append(f"texture: {found.texture}")
    if found.on:
        clauses.append("on: " + ", ".join(found.on))
    if not found.nothing:
        clauses.append(f"region: {percent(found.share)} of the image, {found.place}")
    if found.also:
        clauses.append("also: " + ", ".join(f"{name} ({chance:.2f}) {where}" for name, chance, where in found.also))
    return "; ".join(clauses)


def summarize(findings: Sequence[Finding]) -> str:
    """Counts in how many images each name, kind, colour, texture and background was found."""
    if not findings:
        return "no images"
    seen: dict[str, Counter[str]] = {clause: Counter() for clause in ("names", "kind", "colours", "texture", "on")}
    for found in findings:
        also = [(name, chance) for name, chance, _ in found.also]
        seen["names"].update({name for name, chance in (*found.names, *also) if chance >= COUNTS})
        seen["kind"].update({kind for kind, share in found.kinds if share >= MAJORITY})
        seen["colours"].update({colour for colour, share in found.colours if share >= 2 * MIN_COLOUR})
        seen["texture"].update([found.texture] if found.texture else [])
        seen["on"].update(set(found.on))
    least = 1 if len(findings) == 1 else 2
    clauses = []
    for clause, counts in seen.items():
        common = sorted(((-count, name) for name, count in counts.items() if count >= least))[:LISTED]
        if common:
            clauses.append(f"{clause}: " + ", ".join(f"{name} ({-count})" for count, name in common))
    for nothing in (PLAIN, NOTHING):
        if count := sum(found.nothing == nothing for found in findings):
            clauses.append(f"{nothing} ({count})")
    head = f"common to {len(findings)} image{'s' if len(findings) > 1 else ''}: "
    return head + ("; ".join(clauses) or "nothing was found in two of them")


def percent(share: float) -> str:
    """Writes a share as whole per cent; what is not nothing is never 0 %."""
    return f"{round(100 * share)}%" if share >= 0.005 or share == 0 else "under 1%"
