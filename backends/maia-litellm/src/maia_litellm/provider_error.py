"""Reads the error in a provider's response, without secrets."""

from __future__ import annotations

import email.utils
import json
import re
import time
from typing import Any, NamedTuple

from maia_litellm.providers import Endpoint
from maia_litellm.wire import Exchange

MAX_MESSAGE_CHARACTERS = 300
"""Characters of a provider's message that are passed on."""

SECRETS = re.compile(r"\b(?:sk|pk|rk|gsk|xai|AIza)[-_]?[\w*.-]{8,}|(?i:bearer)\s+\S+|[A-Za-z0-9+/=_-]{64,}")
"""Texts that look like a key or like data, which MAIA never passes on."""

WORD = re.compile(r"[\w-]{6,}")


class ProviderError(NamedTuple):
    """The error in a provider's response.

    Attributes:
        text: Its message, without secrets, on one line.
        codes: Its codes and types, in one text.
        parameter: Which parameter is wrong; empty if it does not say.
        delay: Seconds that it asks to wait; None if it does not say.
    """

    text: str
    codes: str
    parameter: str
    delay: float | None


def clean(text: str, endpoint: Endpoint) -> str:
    """Returns text from elsewhere on one short line, without keys and data."""
    text = SECRETS.sub("[…]", " ".join(text.split()))
    # Parts of the key that a provider repeats are taken out, too.
    text = WORD.sub(lambda word: "[…]" if word[0] in endpoint.key else word[0], text)
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[: MAX_MESSAGE_CHARACTERS - 1] + "…"


def read_error(endpoint: Endpoint, exchange: Exchange) -> ProviderError:
    """Reads an error in the forms that providers send it in."""
    try:
        body: Any = json.loads(exchange.body)
    except ValueError:
        return ProviderError("", "", "", None)
    if isinstance(body, list):  # Gemini wraps some errors in a list.
        body = body[0] if body else {}
    inner = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(inner, dict):
        return ProviderError(clean(str(inner), endpoint), "", "", None)
    text = inner.get("message") or inner.get("detail") or inner.get("msg") or ""
    metadata = inner.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):  # OpenRouter: what its provider reported.
        text = f"{text} {metadata['raw']}"
    details = inner.get("details")
    listed = [d for d in details if isinstance(d, dict)] if isinstance(details, list) else []
    violations = [v for d in listed for v in d.get("violations", ()) if isinstance(v, dict)]
    codes = [inner.get(name) for name in ("code", "type", "status")]
    codes += [d.get("reason") for d in listed] + [v.get("quotaId") for v in violations]
    delays = [str(d["retryDelay"]) for d in listed if "retryDelay" in d]  # Gemini: "37s".
    delay = next((float(d[:-1]) for d in delays if re.fullmatch(r"\d+(\.\d+)?s", d)), None)
    place = (
        [d["loc"] for d in text if isinstance(d, dict) and d.get("loc")] if isinstance(text, list) else []
    )  # FastAPI.
    parameter = str(inner.get("param") or (place[0][-1] if place and isinstance(place[0], list) else ""))
    return ProviderError(
        clean(str(text), endpoint),
        clean(" ".join(str(code) for code in codes if code), endpoint),
        parameter if re.fullmatch(r"[\w.\[\]]{1,40}", parameter) and clean(parameter, endpoint) == parameter else "",
        delay,
    )


def retry_after(exchange: Exchange, reported: ProviderError) -> float | None:
    """Returns the seconds that a server asks to wait: a number, an HTTP date, or what its error says."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = exchange.headers.get(name, "").strip()
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value) * unit
        if value and name == "retry-after":
            try:
                return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
            except (ValueError, OverflowError):
                continue
    return reported.delay
