"""A condition on the rows of a table: the part of SQL that ends soon and needs little memory, whatever it says."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise

from maia_core.plugin import UsageError, did_you_mean

MAX_LENGTH = 10_000
"""Longest condition in characters."""

MAX_WILDCARDS = 4
"""Most `%` of one text: the time of `LIKE` grows with the power of their number."""

WORDS = (
    *("and", "or", "not", "is", "null", "in", "between", "like", "ilike", "escape", "true", "false"),
    *("case", "when", "then", "else", "end", "as", "double", "bigint", "integer", "varchar", "boolean"),
)
"""Words of SQL that a condition may use, beside columns and functions."""

FUNCTIONS = (
    *("abs", "cast", "coalesce", "contains", "ends_with", "isfinite", "isnan", "length", "lower"),
    *("regexp_matches", "round", "starts_with", "try_cast", "upper"),
)
"""Functions that a condition may call: none of them makes long values or many rows."""

_TOKEN = re.compile(
    r"(?P<nothing>\s+|--[^\n]*)|(?P<text>'(?:[^']|'')*')|(?P<quoted>\"(?:[^\"]|\"\")*\")"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign><=|>=|<>|!=|==|\*(?!\*)|[=<>(),+/%-])"
)


def check_condition(text: str, columns: Collection[str]) -> None:
    """Checks that a condition compares columns, and does nothing that could take long or much memory.

    Raises:
        UsageError: it has another word, sign or function, or is too long; the message names it.
    """
    if len(text) > MAX_LENGTH:
        raise UsageError(f"--where has {len(text):,} characters; at most {MAX_LENGTH:,} are allowed")
    known = {name.casefold() for name in columns}
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found:
            raise _refused(text, f"it cannot have {text[place]!r}")
        place = found.end()
        if found.lastgroup != "nothing":
            tokens.append((str(found.lastgroup), found[0]))
    for (kind, token), (_, following) in pairwise([*tokens, ("", "")]):
        word = token.casefold()
        if kind == "text" and token.count("%") > MAX_WILDCARDS:
            raise _refused(text, f"a text has at most {MAX_WILDCARDS} signs %")
        if kind == "word" and word in ("like", "ilike") and not following.startswith("'"):
            raise _refused(text, f"{token} needs a text in quotes")
        is_name = kind == "word" and word not in WORDS
        if is_name and following == "(" and word not in FUNCTIONS:
            raise _refused(text, f"it cannot call '{token[:80]}'; it can call {', '.join(FUNCTIONS)}")
        if is_name and word not in known and word not in FUNCTIONS:
            raise _refused(text, f"there is no column '{token[:80]}'", did_you_mean(token[:80], columns))


def _refused(text: str, why: str, hint: str = "") -> UsageError:
    mend = f".{hint}" if hint else "; write a condition such as 'pearson < 0.3'"
    return UsageError(f"--where '{text[:80]}' cannot be used: {why}{mend}")
