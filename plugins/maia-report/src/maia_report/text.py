"""Makes text from a model or a record harmless to look at: escaping is the template's, this is the rest."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from maia_core.plugin import Image

MAX_CHARACTERS = 20_000
"""No text of a record takes more than this on the page."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Characters that reorder or hide the text around them: a page must show what is there.
_DIRECTION = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(value: object, most: int = MAX_CHARACTERS) -> str:
    """Returns a text without terminal escapes, with control and direction characters made visible, cut at `most`.

    A record from elsewhere may hold a value of any type where a text is expected.
    """
    text = str(value)
    rest = len(text) - most
    if rest > 0:
        text = text[:most]
    text = _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _CONTROL.sub(_picture, text)
    text = _DIRECTION.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)
    text = _SURROGATE.sub("\ufffd", text)
    return f"{text}… {rest:,} more characters" if rest > 0 else text


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\ufffd"


def number(value: float) -> str:
    """Writes a measured number with three significant digits and a true minus sign; 12,345 from a thousand on."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("−∞" if value < 0 else "∞")
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:#.3g}".rstrip(".")
    return text.replace("-", "−")


def tick(value: float) -> str:
    """Writes a round number, such as a tick of an axis, as shortly as it goes."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.6g}"
    return text.replace("-", "−")


def duration(seconds: float) -> str:
    """Writes seconds as a person would: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 4 min`."""
    if not 0 <= seconds < 1e9:
        return "unknown"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def brief(value: Any, most: int = 600, depth: int = 6) -> str:
    """Writes a value of a record on one line, at most `depth` levels deep; an image stands as its title."""
    if isinstance(value, Image):
        return f"‹{clean(value.title, most) or 'image'}›"
    if isinstance(value, list | tuple | dict) and depth == 0:
        return "…"
    if isinstance(value, list | tuple):
        items = ", ".join(brief(item, most, depth - 1) for item in value[:40])
        return clean(f"[{items}{', …' if len(value) > 40 else ''}]", most)
    if isinstance(value, dict):
        items = ", ".join(f"{key}: {brief(item, most, depth - 1)}" for key, item in list(value.items())[:40])
        return clean(f"{{{items}{', …' if len(value) > 40 else ''}}}", most)
    return (
        number(value) if isinstance(value, float) else clean(json.dumps(value, ensure_ascii=False, default=str), most)
    )
