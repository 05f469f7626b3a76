"""Text from elsewhere (models, plugins' metadata, files) made fit for a terminal."""

from __future__ import annotations

import unicodedata


def printable(text: str, limit: int = 2000) -> str:
    """Returns text in which control, escape and direction-changing characters are written out, cut at `limit`."""
    safe = "".join(
        c if c == "\n" or not unicodedata.category(c).startswith("C") else c.encode("unicode_escape").decode()
        for c in text[:limit]
    )
    return safe + (f"… ({len(text) - limit} more characters)" if len(text) > limit else "")
