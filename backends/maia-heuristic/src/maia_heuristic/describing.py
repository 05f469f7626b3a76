"""Reads what a describer wrote about one image: labelled fields where it has them, else content words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from maia_heuristic.knowledge import Knowledge

_SCORED = re.compile(r"\s*([A-Za-z][\w' -]*?)\s*\((\d*\.?\d+)\)\s*(?:,|$)")
_SHARE = re.compile(r"([A-Za-z][\w -]*?)(?:\s+(\d+(?:\.\d+)?)\s*%)?\s*(?:,|$)")


@dataclass(frozen=True)
class Description:
    """What a describer saw.

    Attributes:
        names: Objects with weights in (0, 1], the best guess first.
        kinds: Broader concepts of the first name, from narrow to broad.
        colours: Colours with shares in (0, 1].
        textures: Textures.
        backgrounds: What the region lies on.
    """

    names: tuple[tuple[str, float], ...] = ()
    kinds: tuple[str, ...] = ()
    colours: tuple[tuple[str, float], ...] = ()
    textures: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()


def read_description(text: str, knowledge: Knowledge) -> Description:
    """Reads one description leniently: any text gives a `Description`, perhaps an empty one."""
    if text.strip().lower().startswith("nothing"):
        return Description()  # "nothing is unmasked" names no thing.
    fields: dict[str, str] = {}
    head = ""
    for segment in text.split(";"):
        key, colon, value = segment.partition(":")
        if colon and len(key.split()) <= 2:
            fields.setdefault(key.strip().lower(), value.strip())
        elif not head:
            head = segment
    scored = [(m.group(1).strip().lower(), min(1.0, float(m.group(2)))) for m in _SCORED.finditer(head)]
    if not scored and not {"kind", "colours", "colors"} & fields.keys():
        return _read_prose(text, knowledge)
    return Description(
        names=tuple(scored) or tuple((name, 1.0) for name in _listed(head)),
        kinds=_listed(fields.get("kind", "") or fields.get("kinds", "")),
        colours=_shares(fields.get("colours", "") or fields.get("colors", ""), knowledge),
        textures=tuple(knowledge.spelling(t) for t in _listed(fields.get("texture", ""))),
        backgrounds=_backgrounds(_listed(fields.get("on", "") or fields.get("background", "")), knowledge),
    )


def _backgrounds(names: tuple[str, ...], knowledge: Knowledge) -> tuple[str, ...]:
    """Leaves colours out, whether listed beside a background or in front of it ("green dots, white")."""
    bare = [" ".join(word for word in name.split() if word not in knowledge.colours) for name in names]
    return tuple("plain background" if name == "plain" else knowledge.spelling(name) for name in bare if name)


def _listed(text: str) -> tuple[str, ...]:
    names = (re.sub(r"\s*\(.*?\)|\s+\d+\s*%", "", item).strip(" .").lower() for item in text.split(","))
    return tuple(name for name in names if name and name not in ("none", "unknown", "unclear"))


def _shares(text: str, knowledge: Knowledge) -> tuple[tuple[str, float], ...]:
    found = [(m.group(1).strip().lower(), m.group(2)) for m in _SHARE.finditer(text)]
    return tuple(
        (knowledge.spelling(name), min(1.0, float(share) / 100) if share else 1.0 / len(found)) for name, share in found
    )


def _read_prose(text: str, knowledge: Knowledge) -> Description:
    """Picks out the words of free text that the dictionary knows, and otherwise the words that may be nouns."""
    words = re.findall(r"[a-z][a-z'-]+", text.lower())
    things: dict[str, float] = {}
    colours: dict[str, float] = {}
    textures: list[str] = []
    backgrounds: list[str] = []
    position = 0
    while position < len(words):
        for size in (2, 1):
            phrase = knowledge.spelling(" ".join(words[position : position + size]))
            if phrase in knowledge.colours:
                colours.setdefault(phrase, 0.5)
            elif phrase in knowledge.backgrounds:
                backgrounds.append(phrase)
            elif phrase in knowledge.patterns:
                textures.append(phrase)
            elif phrase in knowledge.nouns:
                things.setdefault(phrase, 1.0 / (1 + len(things)))
            elif size == 1 and len(phrase) > 3 and phrase not in knowledge.stopwords:
                things.setdefault(phrase, 0.2)
            else:
                continue
            position += size - 1
            break
        position += 1
    ordered = sorted(things.items(), key=lambda item: -item[1])
    return Description(
        tuple(ordered), (), tuple(colours.items()), tuple(dict.fromkeys(textures)), tuple(dict.fromkeys(backgrounds))
    )
