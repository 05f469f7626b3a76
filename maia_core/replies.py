"""Reads a backbone's reply: a program, an answer, or what is wrong with it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from maia_core.errors import ReplyError

_FENCE = re.compile(r"(?m)^([ \t]*)(?:[*_]*\[CODE\][*_: ]*)?(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n`]*$")
_ENTRY = re.compile(r"(?m)^\s*(?:async\s+)?def\s+(?:run_experiment|execute_command)\b")
_CALL = re.compile(rf"{_ENTRY.pattern}|\b(?:system|tools)\.\w")
_THOUGHT = re.compile(r"""(?s)\A.*(?<!["'`])</think(?:ing)?>(?!["'`])""")
_TOKEN = r"<(?:end_code|/?s|eos|end_of_turn|\|[A-Za-z_]{2,30}\|)>"
_STOP = re.compile(rf"(?m){_TOKEN}[ \t]*$")
_LEFT = re.compile(rf"{_TOKEN}|\[(?:END|DONE|/?INST)\]|\\(?=[%&_#])")
_INVENTED = re.compile(rf"(?im){_TOKEN}|\[(?:END|DONE|INST)\]|^[ \t>#*]*(?:human|user)[ *]*:(?![ \t*]*[-+]?\d)")
_BOX = re.compile(r"(?:\${1,2}|\\[(\[][ \t]*)?\\(?:boxed|text\w*)\{([^{}]*)\}(?:\${1,2}|[ \t]*\\[)\]])?")
_HYPOTHESIS = re.compile(r"(?im)^[\s>*_-]*hypothesis[ _]*\d+[\s*_]*:[\s*_]*(.+)$")
_CLAIM = re.compile(r"(?m)^[ \t>#*_-]*(?:\[[A-Z]\w[\w ]*\]|`{3}|~{3}|(?:Printed|Returned|Failed|Human|User):)")

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
    r"""Splits a reply at its tags.

    A tag counts only at the start of a line (markdown emphasis, bullets and headings before it are allowed) and
    outside of fenced code, so quoting one in prose does nothing. Reasoning that ends with `</think>` does not count. A
    code block that uses `system` or `tools` and does not define run_experiment is a program, too, where no whole answer
    stands around it. The first program counts: a further one, an answer beside it and invented results are ignored, as
    are lines that quote the task. So is what stands behind a whole answer and an end token (`</s>`, `[END]`) or an
    invented turn (`Human:`, `User:`). Texts of an answer lose `\boxed{...}` and such tokens.

    Args:
        text: The reply.
        answer_tags: The tags of the task's answer, such as `DESCRIPTION` and `LABEL`.
        task: The text of the task.
        cut: Whether the reply was cut off; then only a whole program counts, or an answer before an invented turn.
        final: Whether the run is over; then only an answer counts.

    Raises:
        ReplyError: says, for the backbone, what was expected.
    """
    if not text.strip():
        raise ReplyError("Your reply was empty. " + _expected(answer_tags))
    text = _THOUGHT.sub("", text.replace("\r\n", "\n"))
    blocks = list(_blocks(_STOP.sub(lambda token: " " * len(token[0]), text)))
    prose = _prose(text, blocks, task)
    found = _tags(prose, ("CODE", "HYPOTHESIS LIST", "HYPOTHESIS", *answer_tags))
    # An invented turn counts behind a whole answer only: a description may quote one.
    answered = max(min([end for tag, _, end in found if tag == name], default=len(text)) for name in answer_tags)
    stop = next((turn.start() for turn in _INVENTED.finditer(prose, answered)), len(text))
    own = [b for b in blocks if b.source and b.start < stop and not ("..." in b.source and b.source.strip() in task)]
    first = next((block for block in own if _ENTRY.search(block.source)), None)
    if cut and stop == len(text) and not (first and first.closed and not final):
        raise ReplyError("Your reply was cut off at its length limit. Send a shorter reply.")
    end = first.end if first and not final else stop
    sections = _sections(prose[:end], [tag for tag in found if tag[1] < end])
    hypotheses = _hypotheses(sections.pop("HYPOTHESIS LIST", []) + sections.pop("HYPOTHESIS", []))
    announced = sections.pop("CODE", [])
    code = [f"{code}\n" for code in announced if _CALL.search(code)]
    programs = [first.source] if first else [b.source for b in own if announced or _CALL.search(b.source)] or code
    is_answer = bool(sections) if final else not (first or announced) and sections.keys() >= set(answer_tags)
    if programs and not is_answer:
        if final:
            raise ReplyError("The run is over; no more programs run. Send your final answer only.")
        note = bool(sections) or len(programs) > 1 or bool(_CLAIM.search(text[end:]))
        return ParsedReply(program=programs[0], hypotheses=hypotheses, note=IGNORED if note else "")
    if sections:
        if len(sections.get(answer_tags[0], ())) > 1:
            raise ReplyError(f"Your reply holds more than one answer ([{answer_tags[0]}] twice). Send a single one.")
        note = bool(_LEFT.sub("", prose[stop:]).strip())
        return ParsedReply(sections=sections, hypotheses=hypotheses, note=IGNORED if note else "")
    wrong = "does not define run_experiment(system, tools)" if own else "holds neither a program nor an answer"
    raise ReplyError(f"Your reply {wrong}. {_expected(answer_tags)}")


IGNORED = "MAIA took your first program or answer and ignored the rest of your reply. Send one, and stop behind it."
"""Tells the backbone that another program or answer, invented results or an invented turn stood in its reply."""


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


def _prose(text: str, blocks: Sequence[_Block], task: str) -> str:
    """Returns the text with zero bytes in place of its fenced blocks and of the lines that quote the task."""
    quoted = {line.strip(" \t>*") for line in task.splitlines() if len(line) > MIN_QUOTE and not _CALL.search(line)}
    letters = list(text)
    for block in blocks:
        letters[block.start : block.end] = "\0" * (block.end - block.start)
    lines = "".join(letters).splitlines()
    return "\n".join("\0" * len(line) if line.strip(" \t>*") in quoted else line for line in lines)


def _tags(prose: str, tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Returns the tags in a text, each with its beginning and its end."""
    names = "|".join(re.escape(tag).replace(r"\ ", "[ _]") for tag in sorted(tags, key=len, reverse=True))
    pattern = rf"(?im)^[ \t>#*_+-]*\[({names})(?:[ _]?\d+)?\][ \t*_]*[:：]?[ \t*_]*"
    return [(match[1].upper().replace("_", " "), *match.span()) for match in re.finditer(pattern, prose)]


def _sections(prose: str, tags: Sequence[tuple[str, int, int]]) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for (tag, _, start), (_, end, _) in pairwise([*tags, ("", len(prose), 0)]):
        body = prose[start:end].replace("\0", "")
        body = _STOP.sub("", body) if tag == "CODE" else _BOX.sub(r"\1", _BOX.sub(r"\1", _LEFT.sub("", body)))
        sections.setdefault(tag, []).append(body.strip().strip("*_").strip())
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
