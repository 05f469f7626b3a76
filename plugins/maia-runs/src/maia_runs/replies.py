"""Writes replies in the form that a run reads: for a person, and for a client that calls tools."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from maia_core.plugin import recordable


def program_reply(program: str, hypotheses: Sequence[str] = ()) -> str:
    """Returns a reply that holds a program, and the hypotheses that it tests."""
    longest = max(map(len, re.findall("`+", program)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{_listed(hypotheses)}[CODE]:\n{fence}python\n{recordable(program).rstrip()}\n{fence}"


def answer_reply(sections: Mapping[str, Sequence[str]], hypotheses: Sequence[str] = ()) -> str:
    """Returns a reply that holds the answer; several texts of one tag are numbered."""
    lines = []
    for tag, texts in sections.items():
        given = [line for line in map(one_line, texts) if line]
        names = [tag] if len(given) == 1 else [f"{tag} {number}" for number in range(1, len(given) + 1)]
        lines += [f"[{name}]: {text}" for name, text in zip(names, given, strict=True)]
    return _listed(hypotheses) + "\n".join(lines)


def one_line(text: str) -> str:
    """Returns text on one line, so that nothing in it counts as a tag or a fence."""
    return recordable(" ".join(text.split()))


def _listed(hypotheses: Sequence[str]) -> str:
    given = [line for line in map(one_line, hypotheses) if line]
    lines = [f"Hypothesis_{number}: {text}\n" for number, text in enumerate(given, 1)]
    return "[HYPOTHESIS LIST]:\n" + "".join(lines) if lines else ""
