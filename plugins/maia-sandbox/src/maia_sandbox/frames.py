"""Frames between host and worker: two lengths, a UTF-8 JSON object, raw bytes. Never pickle.

Imported on both sides; the standard library alone. The host reads what a hostile program may have written.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from .values import TooMuch

PREFIX = struct.Struct(">II")
HEADER_LIMIT = 4 << 20
"""Maximum number of bytes of JSON in a frame; long texts and pixels travel in the raw part."""


class Violation(Exception):
    """The worker sent a message that no honest worker sends."""


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def pack(header: dict[str, Any], blob: bytes = b"") -> bytes:
    """Returns one frame.

    Raises:
        TooMuch: the header is too long.
    """
    text = _encode(header).encode("utf-8")
    if len(text) > HEADER_LIMIT:
        raise TooMuch(f"more than {HEADER_LIMIT >> 20} MB of text and numbers at once")
    return PREFIX.pack(len(text), len(blob)) + text + blob


def read(exactly: Callable[[int], bytearray], limit: int | None = None) -> tuple[dict[str, Any], bytes]:
    """Reads one frame.

    Args:
        exactly: Returns that many bytes of the stream.
        limit: Maximum number of bytes of the raw part; None on the worker's side, which trusts the host.

    Raises:
        Violation: too long, not UTF-8, not JSON, or not a JSON object.
    """
    head, tail = PREFIX.unpack(exactly(PREFIX.size))
    if limit is not None and (head > HEADER_LIMIT or tail > limit):
        raise Violation(f"a frame of {head + tail:,} bytes")
    body = exactly(head + tail)
    try:
        header = _decode(str(memoryview(body)[:head], "utf-8"))
    except (ValueError, RecursionError) as error:
        raise Violation("a frame that is not JSON") from error
    if type(header) is not dict:
        raise Violation("a frame that is not a JSON object")
    return header, bytes(memoryview(body)[head:])
