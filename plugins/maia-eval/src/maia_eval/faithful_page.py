"""The images of a check on one self-contained page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from maia_core.plugin import Image
from maia_eval.faithful import KINDS, Case

SIDE = 192
"""Longer side of a shown image in pixels."""

STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; color: #222; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(192px, 1fr)); gap: 14px; }
figure { margin: 0; border-top: 4px solid #b3261e; } figure.there { border-color: #1e7f3c; }
img { width: 100%; display: block; } figcaption { padding: 4px 0; overflow-wrap: anywhere; }
small { color: #555; display: block; } .warning { color: #8a5a00; }
pre { background: #f4f4f4; padding: 1em; overflow-x: auto; }
"""


def page(title: str, table: str, cases: Sequence[Case]) -> str:
    """Returns the page: the table of rates, then every image with what was seen in it, by kind of content.

    Args:
        title: What was checked, and by whom.
        table: The rates, as text.
        cases: The images.
    """
    parts = [f"<h1>{escape(title)}</h1>", f"<pre>{escape(table)}</pre>"]
    for kind in KINDS:
        if some := [case for case in cases if case.wanted.kind == kind]:
            parts += [f"<h2>{kind}</h2>", '<div class="cases">', *map(_figure, some), "</div>"]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _figure(case: Case) -> str:
    picture = ""
    if case.image is not None:
        picture = f'<img alt="{escape(case.wanted.prompt, quote=True)}" src="{data_uri(case.image, SIDE)}">'
    mark, kind = ("there", ' class="there"') if case.decision.there else ("not seen", "")
    warning = f'<small class="warning">{escape(case.warning)}</small>' if case.warning else ""
    return (
        f"<figure{kind}>{picture}<figcaption><b>{escape(case.wanted.prompt)}</b>: {mark}{warning}"
        f"<small>{escape(case.decision.said)}</small></figcaption></figure>"
    )


def data_uri(image: Image, side: int | None = None) -> str:
    """Returns an image as a JPEG `data:` address, its longer side at most `side` pixels."""
    picture = image.pil()
    if side:
        picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
