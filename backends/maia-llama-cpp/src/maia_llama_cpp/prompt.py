"""A prompt as llama.cpp reads it: blocks of tokens and images, so that what two prompts share is read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TextBlock:
    """Tokens that are read in one batch."""

    tokens: tuple[int, ...]

    @property
    def size(self) -> int:
        """Tokens that it takes in the window."""
        return len(self.tokens)

    @property
    def positions(self) -> int:
        """By how much it moves the position of what follows."""
        return len(self.tokens)


@dataclass(frozen=True)
class ImageBlock:
    """An image, or a tile of one.

    Attributes:
        key: Content hash of the picture.
        size: Tokens that it takes in the window.
        positions: By how much it moves the position of what follows: with M-RoPE fewer than `size`.
        chunk: llama.cpp's handle; it is freed with the prompt.
    """

    key: str
    size: int
    positions: int
    chunk: int = field(compare=False, repr=False)


Block = TextBlock | ImageBlock


def text_blocks(tokens: Sequence[int], size: int) -> Iterator[TextBlock]:
    """Cuts tokens into blocks.

    Cuts lie at fixed places, counted from the beginning of the text, so that a token is always computed in the same
    batch: a reply does not depend on what was read before and kept.
    """
    for start in range(0, len(tokens), size):
        yield TextBlock(tuple(tokens[start : start + size]))


def shared(old: Sequence[Block], new: Sequence[Block]) -> int:
    """Returns how many blocks at the beginning of `new` are as in `old`; the last of `new` is never among them."""
    count = 0
    for a, b in zip(old, new[:-1], strict=False):
        if a != b:
            break
        count += 1
    return count
