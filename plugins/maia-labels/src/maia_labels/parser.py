"""Reads the text of an expression.

    expression = either ("|" either)*            given: binds least; a second "|" is a second condition
    either     = both ("OR" both)*
    both       = negated ("AND" negated | "BUT" "NOT" negated)*
    negated    = "NOT" negated | "(" expression ")" | concept
    concept    = words without quotes | one quoted text

Operators are words in any case ("or", "Or"); `GIVEN` may stand for `|`. A concept of several words needs no quotes
("red fruit OR fire truck") unless a word of it is an operator: `"salt and pepper" OR dog`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from maia_core.plugin import UsageError
from maia_labels.expression import BARE_WORD, OPERATORS, And, Concept, Expression, Given, Not, Or

MAX_CHARACTERS = 500
MAX_DEPTH = 20
LACKING = "an operator (OR, AND, |) is missing"

_TOKEN = re.compile(
    r"""\s*(?:"(?P<quoted>[^"]*)"|“(?P<curly>[^”]*)”|(?P<sign>[()|])|(?P<word>[^\s()|"“]+)|(?P<odd>\S))"""
)
_MEANT = {"&": "AND", "&&": "AND", "+": "AND", "!": "NOT", "~": "NOT"}


class Token(NamedTuple):
    """One piece of the text: `kind` is "word", "quoted", "end", or the operator or sign that it is."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Expression:
    """Reads an expression.

    Raises:
        UsageError: it is malformed; the message shows where by `>>>`.
    """
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"an expression has at most {MAX_CHARACTERS} characters, not {len(text)}")
    return _Reader(text).whole()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokens()
        self.next = 0
        self.depth = 0

    def whole(self) -> Expression:
        read = self._given()
        if self.now.kind != "end":
            raise self._error("there is no '(' for this ')'" if self.now.kind == ")" else LACKING)
        return read

    # The grammar, from what binds least to what binds most.

    def _given(self) -> Expression:
        read = self._either()
        while self._take("GIVEN"):
            read = Given(read, self._either())
        return read

    def _either(self) -> Expression:
        return self._chain("OR", Or, self._both)

    def _both(self) -> Expression:
        return self._chain("AND", And, self._negated)

    def _chain(self, operator: str, join: type[And] | type[Or], part: Callable[[], Expression]) -> Expression:
        parts = [part()]
        while self._take(operator):
            parts.append(part())
        if len(parts) == 1:
            return parts[0]
        # (A OR B) OR C is A OR B OR C: the mean is over all that are there.
        return join(tuple(leaf for p in parts for leaf in (p.parts if isinstance(p, join) else (p,))))

    def _negated(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"parentheses and NOTs are nested more than {MAX_DEPTH} deep")
        read = self._inner()
        self.depth -= 1
        return read

    def _inner(self) -> Expression:
        if self._take("NOT"):
            return Not(self._negated())
        opened = self.now
        if self._take("("):
            inside = self._given()
            if self.now.kind == "end":
                raise self._error("there is no ')' for this '('", opened)
            if not self._take(")"):
                raise self._error(LACKING)
            return inside
        return self._concept()

    def _concept(self) -> Concept:
        start, words = self.now, []
        if start.kind == "quoted":
            self.next += 1
            words = start.text.split()
            if not words:
                raise self._error("the quotes hold nothing", start)
        else:
            while self.now.kind == "word":
                words += self.now.text.split()
                self.next += 1
        if not words:
            given = "here" if start.kind == "end" else f"before '{start.text}'"
            raise self._error(f"a concept is missing {given}", start)
        return Concept(" ".join(words).lower())

    # Tokens.

    @property
    def now(self) -> Token:
        return self.tokens[self.next]

    def _take(self, kind: str) -> bool:
        if self.now.kind != kind:
            return False
        self.next += 1
        return True

    def _tokens(self) -> list[Token]:
        tokens, at = [], 0
        while match := _TOKEN.match(self.text, at):
            kind = str(match.lastgroup)
            quoted = kind in ("quoted", "curly")
            tokens.append(self._token("quoted" if quoted else kind, match[kind], match.start(kind) - quoted))
            at = match.end()
        tokens = [self._but(token, *tokens[n + 1 : n + 2]) for n, token in enumerate(tokens)]
        return [*tokens, Token("end", "", len(self.text))]

    def _token(self, kind: str, text: str, at: int) -> Token:
        if kind == "odd":
            raise self._error("a quote is opened and not closed", Token("odd", text, at))
        if kind == "quoted":
            return Token(kind, text, at)
        if kind == "sign":
            return Token("GIVEN" if text == "|" else text, text, at)
        if text.upper() in OPERATORS:
            return Token(text.upper(), text, at)
        if not BARE_WORD.fullmatch(text):
            meant = f"; write {_MEANT[text]}" if text in _MEANT else "; put the concept in quotes"
            raise self._error(f"'{text}' is neither a word nor an operator{meant}", Token("odd", text, at))
        return Token("word", text, at)

    def _but(self, token: Token, following: Token | None = None) -> Token:
        """Reads BUT, before NOT, as AND."""
        if token.kind != "BUT":
            return token
        if following is None or following.kind != "NOT":
            raise self._error("BUT must be followed by NOT", token)
        return token._replace(kind="AND")

    def _error(self, reason: str, token: Token | None = None) -> UsageError:
        at = (token or self.now).at
        marked = f"{self.text[:at]}>>>{self.text[at:]}"
        return UsageError(f"malformed expression, at character {at + 1}: {reason}: {marked}")
