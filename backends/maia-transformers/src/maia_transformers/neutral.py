"""Text that says `<image>` or `<|im_end|>` stays text: it makes no picture and ends no turn."""

from __future__ import annotations

import re
from typing import Any

SPLITTERS = (" ", "·", "\u2060")
"""What is put behind the first letter of a control token; the first of these that no token contains."""

THOUGHT = ("<think>", "</think>")
"""Templates cut the messages of models that think at these, tokens or not."""


def control_tokens(tokenizer: Any, processor: Any, template: str) -> list[str]:
    """Returns the texts that a model's tokenizer, processor or template takes for more than text.

    These are its special tokens, the placeholders of its processor, and those of the other added tokens that its
    template writes or that look like control tokens; not the line breaks and HTML tags that some tokenizers know.
    """
    tokens = {value for name, value in vars(processor).items() if name.endswith("_token") and isinstance(value, str)}
    tokens |= {str(token) for token in tokenizer.all_special_tokens}
    tokens |= {
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or token.content in template or "|" in token.content
    }
    tokens |= {word for word in THOUGHT if word in template}
    return sorted({token for token in map(str.strip, tokens) if token}, key=lambda token: (-len(token), token))


class Neutral:
    """Breaks control tokens in texts: `<image>` becomes `< image>`, which a model reads and nothing acts on."""

    def __init__(self, tokens: list[str]) -> None:
        """Takes the tokens, longest first."""
        self._tokens = re.compile("|".join(map(re.escape, tokens))) if tokens else None
        self._splitter = next((s for s in SPLITTERS if not any(s in token for token in tokens)), SPLITTERS[-1])

    def __call__(self, text: str) -> str:
        """Returns a text without control tokens, and without lone surrogates, which no tokenizer takes."""
        text = text.encode("utf-8", "replace").decode()
        if self._tokens is None:
            return text
        # Breaking one token can leave another that overlapped it. A splitter is in no token, so this ends.
        while self._tokens.search(text):
            text = self._tokens.sub(self._broken, text)
        return text

    def _broken(self, match: re.Match[str]) -> str:
        token = match[0]
        return token[0] + self._splitter + token[1:] if len(token) > 1 else self._splitter
