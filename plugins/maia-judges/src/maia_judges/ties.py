"""How equals are ordered: by chance, but always the same."""

from __future__ import annotations

from collections.abc import Sequence

from maia_core.plugin import content_id


def keys(label: str, texts: Sequence[str]) -> list[str]:
    """Returns a key for each text, to sort equals by.

    The keys depend on the label and on all the texts together, not on their places. Were the order of two texts the
    same in every pool, a label that says nothing would pick the same images for every unit, and look consistent.
    """
    pool = content_id(*sorted(map(_bytes, set(texts))))
    return [content_id(pool.encode(), _bytes(label), _bytes(text)) for text in texts]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
