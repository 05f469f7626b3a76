"""Separates the reasoning of a model from its answer."""

from __future__ import annotations

import re

THINKING = re.compile(r"\s*<think>(.*?)(?:</think>|\Z)\s*", re.DOTALL)


def split_reasoning(text: str, prompt: str) -> tuple[str, str]:
    """Returns the reasoning and the answer in the output of a model.

    Args:
        text: The output of the model.
        prompt: The prompt of that output; some templates begin the reasoning themselves.
    """
    if prompt.rstrip().endswith("<think>"):
        text = f"<think>{text}"
    found = THINKING.match(text)
    if found is None:
        return "", text.strip()
    return found[1].strip(), text[found.end() :].strip()
