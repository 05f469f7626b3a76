"""Which text belongs to which image: the parts of a message as paragraphs and rows of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from maia_core.plugin import Image, Part, TextPart

MAX_CAPTION = 300


class Figure(NamedTuple):
    """An image and the line that stood before it, or its title."""

    caption: str
    image: Image


def blocks(parts: Sequence[Part]) -> list[str | list[Figure]]:
    """Returns the texts and the runs of images of a message, in order."""
    found: list[str | list[Figure]] = []
    caption = ""
    for place, part in enumerate(parts):
        if not isinstance(part, TextPart):
            figure = Figure(caption or part.image.title, part.image)
            caption = ""
            if found and isinstance(found[-1], list):
                found[-1].append(figure)
            else:
                found.append([figure])
        elif _is_caption(part.text) and place + 1 < len(parts) and not isinstance(parts[place + 1], TextPart):
            caption = part.text.strip().removesuffix(":")
        else:
            found.append(part.text)
    return found


def _is_caption(text: str) -> bool:
    return len(text) <= MAX_CAPTION and "\n" not in text
