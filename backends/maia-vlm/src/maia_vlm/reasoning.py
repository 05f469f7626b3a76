"""Separates the reasoning of a model from its reply, and removes the remains of chat templates."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_LATER_THOUGHTS = 50
"""Thoughts inside of a reply that are removed, beside those at its beginning."""

_FENCE = "```"

_UNQUOTED = r"(?<![\"'])(?<![^`]`)"  # A fence of three may stand before.
_NAMES = "(?:think(?:ing)?|thought|reasoning|seed:think)"
_OPENING = re.compile(
    rf"{_UNQUOTED}(?:<{_NAMES}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|START_THINKING\|>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)[^<\n]*<\|message\|>)"
)
"""How models begin a thought: tags of DeepSeek and Qwen, Mistral, Kimi, Cohere, and OpenAI's harmony format."""

_CLOSING = re.compile(
    rf"{_UNQUOTED}(?:</{_NAMES}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|END_THINKING\|>"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final[^<\n]*<\|message\|>)"
)
_HARMONY = re.compile(r"\A\s*analysis(?=[A-Z\s])(.*?)assistantfinal", re.DOTALL)
"""The harmony format after a tokenizer has dropped its special tokens."""

_END = re.compile(
    rf"{_UNQUOTED}(?:<\|(?:im_end|eot_id|eom_id|end|return|endoftext|end_of_text|end_of_turn|user|observation|END_RESPONSE)\|>"
    r"|<end_of_turn>|<turn\|>|</s>|<eos>|<｜end▁of▁sentence｜>|<\|im_start\|>user|<start_of_turn>user|\[INST\]"
    r"|\n+data: \[DONE\])"
)
"""Tokens that end a turn: a model that writes more after one makes up the turns of others."""

_REMAINS = re.compile(
    rf"{_UNQUOTED}(?:<\|im_start\|>(?!user|system|tool)(?:assistant)?\n?|<\|start_header_id\|>assistant<\|end_header_id\|>\s*|<start_of_turn>model\n?"
    r"|<\|(?:assistant|begin_of_text|START_RESPONSE)\|>|<bos>|<s>|\[/INST\]|<｜Assistant｜>|<end_code>)"
)
"""Tokens that begin a reply, or stand in it by habit."""

_AROUND = "(?:(?:final_)?answer|response|output|result|tool_call)"
_SPECIAL = re.compile(
    rf"{_UNQUOTED}(?:<\|\w{{1,40}}\|>|<(?:pad|unk|mask)>)"
    rf"|^[ \t]*</?{_AROUND}>|</?{_AROUND}>[ \t]*$",
    re.MULTILINE,
)
"""Other special tokens, and the tags that some prompts ask for around an answer, at an edge of a line."""

_BREAK = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "\x1b\\[[0-9;]*[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
"""Colours of a terminal and characters without a form: no tag, label or program needs them."""


def split_reasoning(text: str, prompt: str = "") -> tuple[str, str]:
    """Returns the reasoning and the reply in the output of a model.

    Tags and tokens stay inside of a fenced program and behind a quotation mark: a program may print them. Characters
    that nobody sees (marks of byte order and direction, controls) are removed everywhere, and lines end in a line feed.

    Args:
        text: The output of the model.
        prompt: The end of its prompt; some templates open the reasoning there, so that the output only closes it.
    """
    if opened := re.search(rf"(?:{_OPENING.pattern})\s*\Z", prompt):
        text = opened[0] + text
    text = _UNSEEN.sub("", _BREAK.sub("\n", text)).replace("\xa0", " ")
    text = _HARMONY.sub(r"<think>\1</think>", text).lstrip()
    thoughts: list[str] = []
    while leading := _OPENING.match(text):
        closing = _CLOSING.search(text, leading.end())
        thoughts.append(text[leading.end() : closing.start() if closing else None])
        text = text[closing.end() :].lstrip() if closing else ""
    for _ in range(MAX_LATER_THOUGHTS):
        if (closing := next(_outside(_CLOSING, text), None)) is None:
            break
        before = text[: closing.start()]
        *_, opening = [None, *_outside(_OPENING, before)]
        start, after = opening.span() if opening else (0, 0)
        thoughts.append(before[after:])
        text = before[:start] + text[closing.end() :]
    return "\n".join(filter(None, map(str.strip, thoughts))), _without_remains(text).strip()


def _without_remains(text: str) -> str:
    parts = text.split(_FENCE)
    parts[::2] = [_REMAINS.sub("", part) for part in parts[::2]]
    text = _FENCE.join(parts).lstrip()
    while end := _END.match(text):
        text = text[end.end() :].lstrip()
    end = next(_outside(_END, text), None)
    parts = (text[: end.start()] if end else text).split(_FENCE)
    parts[::2] = [_SPECIAL.sub("", part) for part in parts[::2]]
    return _FENCE.join(parts)


def _outside(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yields the matches outside of fenced code."""
    start = 0
    for number, part in enumerate(text.split(_FENCE)):
        if number % 2 == 0:
            yield from pattern.finditer(text, start, start + len(part))
        start += len(part) + len(_FENCE)
