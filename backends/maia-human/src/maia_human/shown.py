"""How things look in a notebook: HTML for a browser, plain text for everything else. All text is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image as PILImage

from maia_core.plugin import Image, Part, printable
from maia_human.layout import Figure, blocks

SIDE = 224
"""Longest side of an image in a row of figures, in pixels; a notebook keeps every one of them."""
MAX_CHARACTERS = 100_000
ROW = "display:flex;flex-wrap:wrap;gap:12px;margin:6px 0"
FIGURE = "margin:0;width:150px;font-size:12px;line-height:1.35;overflow-wrap:anywhere"
TEXT = "white-space:pre-wrap;word-break:normal;overflow-wrap:break-word;margin:4px 0"


class Card:
    """Something that shows itself: `html` in a browser, `text` elsewhere."""

    def __init__(self, html: str, text: str) -> None:
        self._html = html
        self._text = text

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return self._text


def card(parts: Sequence[Part]) -> Card:
    """Returns what tools showed: paragraphs and rows of figures."""
    html: list[str] = []
    text: list[str] = []
    for block in blocks(parts):
        if isinstance(block, str):
            html.append(paragraph(block))
            text.append(clean(block))
        else:
            html.append(f'<div style="{ROW}">{"".join(map(_figure, block))}</div>')
            text += [f"[image] {clean(figure.caption)}" for figure in block]
    return Card("".join(html), "\n".join(text))


def paragraph(text: str) -> str:
    """Returns text as HTML, lines and spaces kept."""
    return f'<div style="{TEXT}">{escape(clean(text))}</div>'


def folded(title: str, text: str) -> str:
    """Returns HTML of source code that opens at a click."""
    summary = f'<summary style="cursor:pointer">{escape(title)}</summary>'
    return f'<details>{summary}<div style="{TEXT};font-family:monospace">{escape(clean(text))}</div></details>'


def clean(text: str) -> str:
    """Returns text whose control characters are written out."""
    return printable(text.expandtabs(4), MAX_CHARACTERS)


def _figure(figure: Figure) -> str:
    caption = escape(clean(figure.caption))
    return (
        f'<figure style="{FIGURE}"><img style="width:100%;height:auto;display:block" src="{_source(figure.image)}" '
        f'alt=""><figcaption>{caption}</figcaption></figure>'
    )


def _source(image: Image) -> str:
    pil = image.pil()
    pil.thumbnail((SIDE, SIDE), PILImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    pil.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
