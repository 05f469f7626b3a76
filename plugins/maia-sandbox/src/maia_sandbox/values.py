"""Values as JSON: None, bool, int, finite float, str and list stand for themselves, every object is a tag.

`{"f": "nan"}` a float that JSON has not, `{"t": [...]}` a tuple, `{"d": {...}}` a dict, `{"i": ...}` an image handle,
`{"r": [width, height]}` an image whose RGB bytes come next in the raw part of the frame, `{"s": null}` the system.

Imported on both sides; the standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

MAX_VALUES = 500_000
"""Maximum number of values in one frame."""
MAX_SHOWN = 50
"""Maximum number of images of a returned value that the backbone sees."""
INT_LIMIT = 2**63
"""Integers that cross are smaller than this: a tool may turn any of them into a float or an array."""


class Unfit(Exception):
    """A value that cannot cross; the text says why."""


class TooMuch(Unfit):
    """A value of which a smaller one could cross."""


def text(value: str) -> str:
    """Returns a text that UTF-8 can hold: lone surrogates become escapes."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


class Encoder:
    """Turns one frame's values into JSON.

    Args:
        other: Encodes other values (images, numpy), or raises `Unfit`; it may call the encoder again.
        depth: Deepest nesting of containers.
    """

    def __init__(self, other: Callable[[Any, int], Any], depth: int) -> None:
        self._other = other
        self._depth = depth
        self._left = MAX_VALUES

    def __call__(self, value: Any, level: int = 0) -> Any:
        """Returns `value` as JSON. Exact types first: most values are plain."""
        self._left -= 1
        if self._left < 0:
            raise TooMuch(f"more than {MAX_VALUES:,} values at once")
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if kind is str:
            return text(value)
        if kind is float:
            return value if math.isfinite(value) else {"f": repr(value)}
        if kind is int:
            if not -INT_LIMIT < value < INT_LIMIT:
                raise Unfit("an integer of more than 64 bits")
            return value
        if isinstance(value, list | tuple | dict):
            if level >= self._depth:
                raise Unfit(f"nested more than {self._depth} levels deep (or a container that holds itself)")
            if isinstance(value, dict):
                return {"d": {self._key(key): self(item, level + 1) for key, item in value.items()}}
            items = [self(item, level + 1) for item in value]
            return items if isinstance(value, list) else {"t": items}
        for base in (str, int, float):
            if isinstance(value, base):
                return self(base(value), level)
        return self._other(value, level)

    def _key(self, key: Any) -> str:
        if not isinstance(key, str):
            raise Unfit(f"a dict with a key of type {type(key).__name__}; keys must be str")
        return text(key)


class Decoder:
    """Turns one frame's JSON into values.

    Args:
        image: Makes an image from the tags "i", "r" and "s": called with tag and content.
        depth: Deepest nesting of containers.

    Attributes:
        characters: Of all texts so far.
    """

    def __init__(self, image: Callable[[str, Any], Any], depth: int) -> None:
        self._image = image
        self._depth = depth
        self._left = MAX_VALUES
        self.characters = 0

    def __call__(self, data: Any, level: int = 0) -> Any:
        """Returns the value that `data` stands for.

        Raises:
            ValueError: no `Encoder` makes such data.
        """
        self._left -= 1
        if self._left < 0 or level > self._depth:
            raise ValueError("too many values, or nested too deep")
        if data is None or data is True or data is False:
            return data
        kind = type(data)
        if kind is str:
            data.encode()  # A lone surrogate raises UnicodeEncodeError, a ValueError.
            self.characters += len(data)
            return data
        if kind is float and math.isfinite(data):
            return data
        if kind is int and -INT_LIMIT < data < INT_LIMIT:
            return data
        if kind is list:
            return [self(item, level + 1) for item in data]
        if kind is dict and len(data) == 1:
            ((tag, content),) = data.items()
            if tag == "t" and type(content) is list:
                return tuple([self(item, level + 1) for item in content])
            if tag == "d" and type(content) is dict:
                return {self(key, level): self(item, level + 1) for key, item in content.items()}
            if tag == "f" and content in ("nan", "inf", "-inf"):
                return float(content)
            if tag in ("i", "r", "s"):
                return self._image(tag, content)
        raise ValueError("no value")
