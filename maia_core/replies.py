"""Reads a backbone's reply: a program, an answer, or what is wrong with it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from maia_core.errors import ReplyError

_FENCE = re.compile(r"^([ \t]*)(?:[*_]*\[CODE\][*_: ]*)?(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n`]*$", re.MULTILINE)
_ENTRY = re.compile(r"^\s*(?:async\s+)?def\s+(?:run_experiment|execute_command)\b", re.MULTILINE)
_CALL = re.compile(rf"\b(?:system|tools)\.\w|{_ENTRY.pattern}", re.MULTILINE)
_THOUGHT = re.compile(r"""\A.*(?<!["'`])</think(?:ing)?>(?!["'`])""", re.DOTALL)
_STOP = re.compile(r"<(?:end_code|\|im_end\|)>[ \t]*$", re.MULTILINE)
_HYPOTHESIS = re.compile(r"^[\s>*_-]*hypothesis[ _]*\d+[\s*_]*:[\s*_]*(.+)$", re.IGNORECASE | re.MULTILINE)
_CLAIM = re.compile(r"^[ \t>#*_-]*(?:\[[A-Z]\w[\w ]*\]|`{3}|~{3}|(?:Printed|Returned|Failed):)", re.MULTILINE)

MIN_QUOTE = 20
"""Characters of a line from which on its repetition is a quotation: tags such as `[CODE]:` are shorter."""


@dataclass(frozen=True)
class ParsedReply:
    """A well-formed reply: a program to run, or the sections of an answer.

    Attributes:
        program: Python source; empty for an answer.
        sections: Tag to its texts in order (`LABEL 1` and `LABEL 2` both under `LABEL`); empty for a program.
        hypotheses: The hypotheses that the reply lists.
        note: Tells the backbone what MAIA ignored of the reply; empty if it ignored nothing.
    """

    program: str = ""
    sections: dict[str, list[str]] = field(default_factory=dict)
    hypotheses: tuple[str, ...] = ()
    note: str = ""


class _Block(NamedTuple):
    """A fenced block of a reply; without a source, one line of a fence around the whole reply."""

    start: int
    end: int
    source: str = ""
    closed: bool = True


def program_end(text: str) -> int | None:
    """Returns the place behind the first whole program of a reply; None if there is none.

    The rest of the reply cannot rest on the program's result: a backbone that writes word by word can stop there.
    """
    thought = _THOUGHT.match(text)
    start = thought.end() if thought else len(text) if text.lstrip().startswith("<think") else 0
    return next((start + b.end for b in _blocks(text[start:]) if b.closed and _ENTRY.search(b.source)), None)


def parse_reply(
    text: str, answer_tags: Sequence[str], task: str = "", *, cut: bool = False, final: bool = False
) -> ParsedReply:
    """Splits a reply at its tags.

    A tag counts only at the start of a line (markdown emphasis, bullets and headings before it are allowed) and
    outside of fenced code, so quoting one in prose does nothing. Reasoning that ends with `</think>` does not count. A
    code block that uses `system` or `tools` and does not define run_experiment is a program, too, where no whole answer
    stands around it. The first program counts: a further one, an answer beside it and invented results are ignored, as
    are lines that quote the task.

    Args:
        text: The reply.
        answer_tags: The tags of the task's answer, such as `DESCRIPTION` and `LABEL`.
        task: The text of the task.
        cut: Whether the reply was cut off; then only a whole program counts.
        final: Whether the run is over; then only an answer counts.

    Raises:
        ReplyError: says, for the backbone, what was expected.
    """
    if not text.strip():
        raise ReplyError("Your reply was empty. " + _expected(answer_tags))
    text = _STOP.sub("", _THOUGHT.sub("", text.replace("\r\n", "\n")))
    blocks = list(_blocks(text))
    own = [b for b in blocks if b.source and not ("..." in b.source and b.source.strip() in task)]
    first = next((block for block in own if _ENTRY.search(block.source)), None)
    if cut and not (first and first.closed and not final):
        raise ReplyError("Your reply was cut off at its length limit. Send a shorter reply.")
    end = first.end if first and not final else len(text)
    quoted = {line.strip(" \t>*") for line in task.splitlines() if len(line) > MIN_QUOTE and not _CALL.search(line)}
    lines = [line for line in _prose(text[:end], blocks).splitlines() if line.strip(" \t>*") not in quoted]
    sections = _sections("\n".join(lines), ("CODE", "HYPOTHESIS LIST", "HYPOTHESIS", *answer_tags))
    hypotheses = _hypotheses(sections.pop("HYPOTHESIS LIST", []) + sections.pop("HYPOTHESIS", []))
    has_code = "CODE" in sections
    code = [f"{code}\n" for code in sections.pop("CODE", []) if _CALL.search(code)]
    programs = [first.source] if first else [b.source for b in own if has_code or _CALL.search(b.source)] or code
    is_answer = bool(sections) if final else not (first or has_code) and sections.keys() >= set(answer_tags)
    if programs and not is_answer:
        if final:
            raise ReplyError("The run is over; no more programs run. Send your final answer only.")
        note = bool(sections) or len(programs) > 1 or bool(_CLAIM.search(text[end:]))
        return ParsedReply(program=programs[0], hypotheses=hypotheses, note=IGNORED if note else "")
    if sections:
        if repeated := [tag for tag, texts in sections.items() if len(texts) > 1 and tag == answer_tags[0]]:
            raise ReplyError(
                f"Your reply holds more than one answer ([{repeated[0]}] appears twice). Send one final answer."
            )
        return ParsedReply(sections=sections, hypotheses=hypotheses)
    wrong = "does not define run_experiment(system, tools)" if own else "holds neither a program nor an answer"
    raise ReplyError(f"Your reply {wrong}. {_expected(answer_tags)}")


IGNORED = "MAIA ran your first program and ignored the rest of your reply. Send one program, and stop behind it."
"""Tells the backbone that more than one program, an answer or invented results stood in its reply."""


def _blocks(text: str) -> Iterator[_Block]:
    """Yields the fenced blocks; one that is never closed reaches to the next tag, or to the end."""
    position = 0
    while opening := _FENCE.search(text, position):
        position = opening.end()
        indent, fence, language = opening.groups()
        # As in CommonMark, a line that is indented by four is no fence: it stands in a docstring.
        end = rf"^(?:{indent})?[ ]{{,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$"
        closing = re.compile(end, re.MULTILINE).search(text, position)
        if language in ("markdown", "md") or re.match(r"[\s*]*(\[[A-Z]\w[\w ]*\]|$)", text[position:]):
            yield _Block(opening.start(), position)  # The whole reply stands in a fence: its first or last line.
            continue
        open_end = _CLAIM.search(text, position)
        stop = closing.start() if closing else open_end.start() if open_end else len(text)
        source = textwrap.dedent(text[position + 1 : stop]).rstrip() + "\n"
        position = closing.end() if closing else stop
        yield _Block(opening.start(), position, source, closing is not None)


def _prose(text: str, blocks: Sequence[_Block]) -> str:
    """Returns the text without its fenced blocks."""
    ends = [0, *(block.end for block in blocks)]
    return "".join(text[start:stop] for start, stop in zip(ends, [*(b.start for b in blocks), len(text)], strict=True))


def _sections(prose: str, tags: Sequence[str]) -> dict[str, list[str]]:
    names = "|".join(re.escape(tag).replace(r"\ ", "[ _]") for tag in sorted(tags, key=len, reverse=True))
    pattern = re.compile(rf"^[ \t>#*_+-]*\[({names})(?:[ _]?\d+)?\][ \t*_]*[:：]?[ \t*_]*", re.M | re.I)
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


def _expected(tags: Sequence[str]) -> str:
    answer = " and ".join(f"[{tag}]:" for tag in tags)
    return (
        "Expected either an experiment: a line [CODE]: followed by one block fenced with ```python and ``` that "
        f"defines run_experiment(system, tools); or the final answer: {answer} each at the start of a line, "
        "outside of code fences."
    )
