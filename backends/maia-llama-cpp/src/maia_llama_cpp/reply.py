"""What a model wrote, as a reply: its reasoning apart from what it says."""

from __future__ import annotations

import re

THINKING = re.compile(r"\s*<think>(.*?)(?:</think>|\Z)\s*", re.DOTALL)


def split_reasoning(text: str, prompt: str) -> tuple[str, str]:
    """Splits what a reasoning model wrote into its reasoning and its answer.

    Args:
        text: What it wrote.
        prompt: What it continued; some templates begin the reasoning themselves.
    """
    if prompt.rstrip().endswith("<think>"):
        text = f"<think>{text}"
    found = THINKING.match(text)
    if found is None:
        return "", text.strip()
    return found[1].strip(), text[found.end() :].strip()
