"""The conversation as a local HTML page: no scripts, everything escaped, images as files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from maia_core.plugin import Message, printable, write_atomically
from maia_human.gallery import Gallery
from maia_human.layout import Figure, blocks

MAX_CHARACTERS = 1_000_000
"""Longest text of a message that the page shows whole."""

HEADINGS = {"system": "The library", "user": "To you", "assistant": "You"}

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>MAIA: your conversation</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem }
h2 { font-size: .9rem; font-weight: 600; margin: 0 0 .5rem; opacity: .65 }
section, details { border-top: 1px solid #8885; padding: 1rem 0 }
summary { cursor: pointer; opacity: .8 }
.assistant { background: #5b8def20; border: 0; border-radius: .4rem; padding: 1rem; margin: 0 0 1rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 14px/1.5 ui-monospace, monospace; margin: .4rem 0 }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: .6rem 0 }
figure { margin: 0; width: 11rem; font-size: 13px; line-height: 1.35; overflow-wrap: anywhere }
figure img { width: 100%; height: auto; display: block; background: #8883 }
</style></head><body>
<h1>Your conversation</h1>
<p>Reload this page after each experiment; <a href="#newest">the newest part</a> is at its end.</p>
"""


def write_page(path: Path, messages: Sequence[Message], gallery: Gallery) -> None:
    """Writes the page of a conversation, whole or not at all.

    Raises:
        OSError: the page or an image beside it cannot be written.
    """
    last = len(messages) - 1
    sections = "".join(_section(message, gallery, place == last) for place, message in enumerate(messages))
    write_atomically(path, f"{HEAD}{sections}</body></html>\n".encode("utf-8", "replace"))


def _section(message: Message, gallery: Gallery, newest: bool) -> str:
    body = "".join(
        f"<pre>{_text(block)}</pre>"
        if isinstance(block, str)
        else f'<div class="figures">{"".join(_figure(figure, gallery) for figure in block)}</div>'
        for block in blocks(message.parts)
    )
    heading = HEADINGS[message.role]
    if message.role == "system":
        return f"<details><summary>{heading}</summary>{body}</details>\n"
    place = ' id="newest"' if newest else ""
    return f'<section class="{message.role}"{place}><h2>{heading}</h2>{body}</section>\n'


def _figure(figure: Figure, gallery: Gallery) -> str:
    (picture,) = gallery.add([figure.image])
    source, caption = escape(picture.path.name), _text(figure.caption)
    return (
        f'<figure><a href="{source}"><img src="{source}" alt=""></a>'
        f"<figcaption>[{picture.number}] {caption}</figcaption></figure>"
    )


def _text(text: str) -> str:
    return escape(printable(text.expandtabs(4), MAX_CHARACTERS))
