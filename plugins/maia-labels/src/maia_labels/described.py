"""What a description of an image is about, as a prompt for another image of the same."""

from __future__ import annotations

import re

from maia_labels.colours import COLOURS

MAX_SUBJECT = 120
"""Characters of a description's first phrase."""

MIN_COLOUR = 40
"""Percent of a region from which on a colour is an attribute of the subject."""

_PHRASE_END = re.compile(r"[,;:.(]")
_GROUND = re.compile(r"\bon: ([^;,]+)")
_COLOUR = re.compile(r"\bcolours: (\w[\w -]*?) (\d+)%")


def subject_of(description: str, coloured: bool = False) -> str:
    """Returns the first phrase of a description, with the background where the describer `nearest` names one.

    Args:
        description: What a describer says of an image.
        coloured: Whether the main colour that the describer `nearest` names stands before the subject.
    """
    subject = _PHRASE_END.split(description.strip(), maxsplit=1)[0].strip()[:MAX_SUBJECT]
    if subject.lower().startswith("nothing"):
        subject = ""
    main = _COLOUR.search(description) if coloured and subject else None
    if main and int(main[2]) >= MIN_COLOUR and main[1] in COLOURS and main[1] not in subject.split():
        subject = f"{main[1]} {subject}"
    ground = _GROUND.search(description)
    if ground is None or ground[1].strip() in ("plain", *COLOURS):
        return subject
    return f"{subject} on {ground[1].strip()}" if subject else ground[1].strip()
