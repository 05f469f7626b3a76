"""Text from elsewhere (models, plugins' metadata, files) made fit for a terminal or a record."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import threading
import unicodedata
from typing import Any

_ENDS = r"(KEY|TOKEN|SECRET|PASS(WORD|WD|PHRASE|CODE)?|_PWD|PAT|AUTH|CREDENTIAL|DSN|COOKIE|JWT|CONNECTION_STRING)"
_HOLDS = r"AUTHORIZATION$|(^|_)(API_?KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|WEBHOOK|PRIVATE_KEY)S?_"
SECRET = re.compile(rf"{_ENDS}S?(_?\d+)?$|{_HOLDS}", re.IGNORECASE)
"""Names of variables and keys that hold secrets. User and password in an address are secrets in any."""


_PARSING = threading.Lock()


def syntax_tree(source: str | bytes) -> ast.Module:
    """Parses Python as `ast.parse` does, and raises what it raises; safe in threads.

    Python before 3.13 counts the depth of the trees of all threads together, and raises SystemError.
    """
    with _PARSING:
        return ast.parse(source)


def redacted(value: Any, secrets: dict[str, str] | None = None) -> Any:
    """Returns a text, or any value that JSON knows, without the secrets of the environment; in keys too.

    Providers repeat a wrong key in their error messages, and libraries repeat their messages.
    """
    secrets = _secrets(tuple(os.environ.items())) if secrets is None else secrets
    if isinstance(value, str):
        return functools.reduce(lambda text, secret: text.replace(*secret), secrets.items(), value)
    if isinstance(value, dict):
        return {redacted(key, secrets): redacted(item, secrets) for key, item in value.items()}
    return [redacted(item, secrets) for item in value] if isinstance(value, list | tuple) else value


def dumped(value: Any, **style: Any) -> str:
    """Returns a value as JSON without secrets; `style` is what `json.dumps` takes."""
    text = json.dumps(value, **style)
    # Strings are redacted before they are escaped. Mostly there is none: a look at the whole text says so far sooner.
    found = any(json.dumps(secret, **style)[1:-1] in text for secret in _secrets(tuple(os.environ.items())))
    return json.dumps(redacted(value), **style) if found else text


def as_file(model: Any) -> bytes:
    """Returns what a file holds of a pydantic model: JSON without secrets."""
    return dumped(json.loads(model.model_dump_json()), indent=1, ensure_ascii=False).encode("utf-8", "replace")


@functools.lru_cache(maxsize=1)
def _secrets(environment: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Returns the secrets of an environment and what stands in their place, the longest first: one may hold another."""
    found: dict[str, str] = {}
    for name, value in environment:
        users = re.findall(r"://((?:[^/?#\s:]*:)?([^/?#\s]+))@", value)  # User and password, and the latter alone.
        for secret in sum(users, (value.strip(),) if SECRET.search(name) else ()):
            # A short plain word or number may be a part of anything, such as a field's name in a record.
            if len(secret) >= (16 if secret.isalpha() or secret.isdigit() else 8):
                # A message may hold the body of a reply, which is JSON.
                found |= dict.fromkeys((secret, json.dumps(secret)[1:-1]), f"[{name}]")
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def recordable(text: str) -> str:
    """Returns a text without lone surrogates, which no record, file or request can hold: "?" takes their place."""
    return text.encode("utf-8", "replace").decode()


def decoded(data: bytes) -> str:
    """Returns the text of a file in UTF-8, or in any Unicode encoding that its byte order mark names.

    Raises:
        UnicodeDecodeError: it is in neither.
    """
    return data.decode(json.detect_encoding(data))


def printable(text: str, limit: int = 2000) -> str:
    """Returns text without secrets, cut at `limit`; control, escape and direction-changing characters written out."""
    text = redacted(text)
    safe = "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else repr(c)[1:-1] for c in text[:limit])
    return safe + (f"… ({len(text) - limit} more characters)" if len(text) > limit else "")


def printable_line(text: str) -> str:
    """Returns a text on one line, fit for a terminal."""
    return printable(" ".join(text.split()))
