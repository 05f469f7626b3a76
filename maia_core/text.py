"""Text from elsewhere (models, plugins' metadata, files) made fit for a terminal or a record."""

from __future__ import annotations

import os
import re
import unicodedata

SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$", re.IGNORECASE)
"""Names of environment variables that hold secrets."""


def redacted(text: str) -> str:
    """Returns text without the values of environment variables that are secrets by their name.

    Providers repeat a wrong key in their error messages, and libraries repeat their messages.
    """
    for name, value in os.environ.items():
        # A value that is a plain word or number may be a part of anything, such as a field's name in a record.
        if len(value) >= 8 and value in text and not value.isalpha() and not value.isdigit() and SECRET.search(name):
            text = text.replace(value, f"[{name}]")
    return text


def printable(text: str, limit: int = 2000) -> str:
    """Returns text without secrets, cut at `limit`; control, escape and direction-changing characters written out."""
    text = redacted(text)
    safe = "".join(
        c if c == "\n" or not unicodedata.category(c).startswith("C") else c.encode("unicode_escape").decode()
        for c in text[:limit]
    )
    return safe + (f"… ({len(text) - limit} more characters)" if len(text) > limit else "")
