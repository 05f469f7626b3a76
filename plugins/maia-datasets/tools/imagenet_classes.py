"""Writes `imagenet.tsv`: the 1,000 ImageNet classes and what is broader than each, from WordNet 3.0.

python tools/imagenet_classes.py WORDNET WNIDS > src/maia_datasets/data/imagenet.tsv

WORDNET is the folder that holds `data.noun` of WordNet 3.0 (Debian's `wordnet-base` has it): a class's WordNet id is
the offset of its synset there. WNIDS is a text file with the 1,000 ids, one a line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

TOO_BROAD = {
    "abstraction",
    "artifact",
    "attribute",
    "causal agent",
    "communication",
    "entity",
    "group",
    "instrumentality",
    "living thing",
    "matter",
    "measure",
    "object",
    "organism",
    "part",
    "physical entity",
    "psychological feature",
    "relation",
    "solid",
    "substance",
    "thing",
    "unit",
    "whole",
}
"""A label made of these would say nothing."""


class Synset(NamedTuple):
    """A line of `data.noun`: its first word, and the offset of the first synset above it (empty at the top)."""

    name: str
    above: str


def synsets(wordnet: Path) -> dict[str, Synset]:
    """Reads all nouns: see the manual page wndb(5WN) for the format."""
    found = {}
    for line in (wordnet / "data.noun").read_text(encoding="ascii").splitlines():
        if line.startswith(" "):
            continue  # The licence, at the top.
        fields = line.partition(" | ")[0].split(" ")
        pointers = 4 + 2 * int(fields[3], 16)
        above = [fields[at + 1] for at in range(pointers + 1, len(fields) - 3, 4) if fields[at] in ("@", "@i")]
        found[fields[0]] = Synset(fields[4].replace("_", " "), above[0] if above else "")
    return found


def main(wordnet: Path, wnids: Path) -> None:
    """Prints id, id of the next broader concept (or nothing) and name; the classes first, in the order of their ids."""
    nouns = synsets(wordnet)
    waiting, printed = sorted(wnids.read_text(encoding="ascii").split()), set()
    for wnid in waiting:  # It grows while it is read: what is above a class comes after all classes.
        if wnid in printed:
            continue
        printed.add(wnid)
        name, above = nouns[wnid[1:]]
        if nouns.get(above, Synset("entity", "")).name in TOO_BROAD:
            above = ""
        print(wnid, f"n{above}" if above else "", name, sep="\t")
        if above:
            waiting.append(f"n{above}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
