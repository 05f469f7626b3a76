"""Reads a backbone's reply: a program, an answer, or what is wrong with it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from maia_core.errors import ReplyError

_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n`]*$", re.MULTILINE)
_ENTRY = re.compile(r"^\s*(?:async\s+)?def\s+(?:run_experiment|execute_command)\b", re.MULTILINE)
_CALL = re.compile(rf"\b(?:system|tools)\.\w|{_ENTRY.pattern}", re.MULTILINE)
_THOUGHT = re.compile(r"""\A.*(?<!["'`])</think(?:ing)?>(?!["'`])""", re.DOTALL)
_STOP = re.compile(r"<(?:end_code|\|im_end\|)>[ \t]*$", re.MULTILINE)
_HYPOTHESIS = re.compile(r"^[\s>*_-]*hypothesis[ _]*\d+[\s*_]*:[\s*_]*(.+)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class ParsedReply:
    """A well-formed reply: a program to run, or the sections of an answer.

    Attributes:
        program: Python source; empty for an answer.
        sections: Tag to its texts in order (`LABEL 1` and `LABEL 2` both under `LABEL`); empty for a program.
        hypotheses: The hypotheses that the reply lists.
    """

    program: str = ""
    sections: dict[str, list[str]] = field(default_factory=dict)
    hypotheses: tuple[str, ...] = ()


def parse_reply(text: str, answer_tags: Sequence[str]) -> ParsedReply:
    """Splits a reply at its tags.

    A tag counts only at the start of a line (markdown emphasis, bullets and headings before it are allowed) and
    outside of fenced code, so quoting one in prose does nothing. Reasoning that ends with `</think>` does not count. A
    code block that uses `system` or `tools` and does not define run_experiment is a program, too.

    Args:
        text: The reply.
        answer_tags: The tags of the task's answer, such as `DESCRIPTION` and `LABEL`.

    Raises:
        ReplyError: says, for the backbone, what was expected.
    """
    if not text.strip():
        raise ReplyError("Your reply was empty. " + _expected(answer_tags))
    prose, blocks = _take_fences(_STOP.sub("", _THOUGHT.sub("", text.replace("\r\n", "\n"))))
    sections = _sections(prose, ("CODE", "HYPOTHESIS LIST", "HYPOTHESIS", *answer_tags))
    hypotheses = _hypotheses(sections.pop("HYPOTHESIS LIST", []) + sections.pop("HYPOTHESIS", []))
    has_code = "CODE" in sections
    code_sections = sections.pop("CODE", [])
    blocks = blocks or [f"{code}\n" for code in code_sections if _CALL.search(code)]
    programs = [block for block in blocks if _ENTRY.search(block)]

    if sections and (has_code or programs):
        raise ReplyError(
            "Your reply holds both a program and an answer. Send either one experiment under [CODE]: or the final "
            f"answer under {_tags(answer_tags)}, not both."
        )
    if sections:
        if repeated := [tag for tag, texts in sections.items() if len(texts) > 1 and tag == answer_tags[0]]:
            raise ReplyError(
                f"Your reply holds more than one answer ([{repeated[0]}] appears twice). Send one final answer."
            )
        return ParsedReply(sections=sections, hypotheses=hypotheses)
    programs = programs or [block for block in blocks if has_code or _CALL.search(block)]
    if len(programs) > 1 or len(code_sections) > 1:
        raise ReplyError(
            "Your reply holds more than one program. Send exactly one fenced Python block that defines "
            "run_experiment(system, tools); helper functions go into the same block."
        )
    if programs:
        return ParsedReply(program=programs[0], hypotheses=hypotheses)
    if blocks:
        raise ReplyError("The code block does not define run_experiment(system, tools). " + _expected(answer_tags))
    if has_code:
        raise ReplyError("[CODE]: is not followed by a fenced Python block. " + _expected(answer_tags))
    raise ReplyError("Your reply holds neither a program nor an answer. " + _expected(answer_tags))


def _take_fences(text: str) -> tuple[str, list[str]]:
    """Returns the text with fenced blocks blanked out, and the blocks."""
    prose: list[str] = []
    blocks: list[str] = []
    position = 0
    while opening := _FENCE.search(text, position):
        prose.append(text[position : opening.start()])
        position = opening.end()
        indent, fence, language = opening.groups()
        # As in CommonMark, a line that is indented by four is no fence: it stands in a docstring.
        end = rf"^(?:{indent})?[ ]{{,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$"
        closing = re.compile(end, re.MULTILINE).search(text, position)
        if language in ("markdown", "md") or (not language and re.match(r"\s*(\[[A-Z]|$)", text[position:])):
            continue  # The whole reply stands in a fence, and this is its first or last line.
        if closing is None:
            raise ReplyError(
                "A code fence is opened but never closed. Put the program between a line ```python and a line ```, "
                "and close the fence before anything else."
            )
        blocks.append(textwrap.dedent(text[position + 1 : closing.start()]).rstrip() + "\n")
        position = closing.end()
    return "".join([*prose, text[position:]]), blocks


def _sections(prose: str, tags: Sequence[str]) -> dict[str, list[str]]:
    names = "|".join(re.escape(tag).replace(r"\ ", "[ _]") for tag in sorted(tags, key=len, reverse=True))
    pattern = re.compile(rf"^[ \t>#*_+-]*\[({names})(?:[ _]?\d+)?\][ \t]*[*_]*[ \t]*:?[ \t]*[*_]*[ \t]*", re.M | re.I)
    found = list(pattern.finditer(prose))
    sections: dict[str, list[str]] = {}
    ends = [match.start() for match in found[1:]] + [len(prose)]
    for match, end in zip(found, ends, strict=False):
        body = prose[match.end() : end].strip().strip("*_").strip()
        sections.setdefault(match.group(1).upper().replace("_", " "), []).append(body)
    return sections


def _hypotheses(texts: Sequence[str]) -> tuple[str, ...]:
    listed = [match.group(1).strip(" *_") for text in texts for match in _HYPOTHESIS.finditer(text)]
    return tuple(listed or [text for text in texts if text])


def _tags(tags: Sequence[str]) -> str:
    return " and ".join(f"[{tag}]:" for tag in tags)


def _expected(tags: Sequence[str]) -> str:
    return (
        "Expected either an experiment: a line [CODE]: followed by one block fenced with ```python and ``` that "
        f"defines run_experiment(system, tools); or the final answer: {_tags(tags)} each at the start of a line, "
        "outside of code fences."
    )
