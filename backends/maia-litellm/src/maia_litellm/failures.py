"""Says what went wrong with a call: from what came over the wire, not from how LiteLLM words it."""

from __future__ import annotations

import email.utils
import json
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx

from maia_core.errors import BackboneBusy, BackboneError, ContextTooLong, MaiaError, did_you_mean
from maia_litellm import prices
from maia_litellm.providers import Endpoint
from maia_litellm.wire import Exchange

LONGEST = 300
"""Characters of a provider's message that are passed on."""

NO_PARAMETER = re.compile(
    r"does not support (?:parameters: \[?'?|parameter )(\w+)|Setting `(\w+)` is not supported"
    r"|(\w+)=\S+ is not supported"
)
"""How LiteLLM says that a model does not take a parameter."""

SECRETS = re.compile(r"\b(?:sk|pk|rk|gsk|xai|AIza)[-_]?[\w*.-]{8,}|(?i:bearer)\s+\S+|[A-Za-z0-9+/=_-]{64,}")
"""What looks like a key, or is data: never passed on."""

WORD = re.compile(r"[\w-]{6,}")

TOO_LONG = re.compile(
    r"context.{0,3}(length|window|size|limit)|maximum.{0,20}(context|input length)|(prompt|input) is too long"
    r"|(input|prompt|token)s?.{0,40}exceeds? (the|its|this) (maximum|limit|configured)|exceeds the maximum number of "
    r"tokens|payload size exceeds|too many tokens|request (is )?too large|request_too_large|reduce the length",
    re.IGNORECASE,
)
REFUSED = re.compile(
    r"content[_ ](policy|filter|management)|responsible ?ai|safety system|usage policy|invalid_prompt|flagged",
    re.IGNORECASE,
)
MODERATED = re.compile(r"flagged|moderation", re.IGNORECASE)
"""How OpenRouter says that a vendor's filter did not take the content."""

EXHAUSTED = re.compile(
    r"insufficient_quota|exceeded your current quota|credit balance|billing|payment|out of credits"
    r"|insufficient.{0,10}(credit|balance|fund)",
    re.IGNORECASE,
)
LASTING = re.compile(r"insufficient_quota|PerDay")
"""Codes of a quota that is not filled again while a run waits."""

NO_IMAGES = re.compile(
    r"(does not|doesn't|not) support(ed)?.{0,30}(image|vision|multimodal)|(image|vision).{0,40}not (supported|allowed)"
    r"|image input is not|not a multimodal model|cannot (see|process) images",
    re.IGNORECASE,
)
BAD_KEY = re.compile(r"api[ _]?key not valid|API_KEY_INVALID|invalid (api|x-api)[ -_]?key", re.IGNORECASE)


class Refused(BackboneError):
    """The provider's filter did not take the content of the request."""


class Said(NamedTuple):
    """What a provider's error says.

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


def failure(endpoint: Endpoint, exchange: Exchange, error: Exception, *, answered: bool, limit: str) -> MaiaError:
    """Returns the error that a failed call ends with.

    Args:
        endpoint: What was called.
        exchange: What came over the wire.
        error: What LiteLLM raised.
        answered: Whether the endpoint has answered before, so that its silence may pass.
        limit: The setting that bounds the time of a call.
    """
    if isinstance(error, MaiaError):
        return error
    if exchange.status:
        return _status(endpoint, exchange, error)
    if exchange.error is not None:
        return _silence(endpoint, exchange.error, answered, limit)
    text = clean(str(error), endpoint)
    if parameter := NO_PARAMETER.search(text):
        name = parameter[parameter.lastindex or 1]
        return BackboneError(f"{endpoint.name} has no '{name}'; leave out {_setting(endpoint, name)}")
    return BackboneError(f"{endpoint.name} cannot be asked: {text or type(error).__name__}")


def clean(text: str, endpoint: Endpoint) -> str:
    """Returns text from elsewhere on one short line, without keys and data."""
    text = SECRETS.sub("[…]", " ".join(text.split()))
    # Parts of the key that a provider repeats are taken out, too.
    text = WORD.sub(lambda word: "[…]" if word[0] in endpoint.key else word[0], text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _status(endpoint: Endpoint, exchange: Exchange, error: Exception) -> MaiaError:
    status, part, said = exchange.status, endpoint.part, _said(endpoint, exchange)
    everything = f"{said.text} {said.codes}"
    told = f": {said.text}" if said.text else ""
    named = f"{endpoint.name} at {endpoint.host}"
    if status < 300:
        return BackboneError(f"{named} sent something that is no reply; is {part}.api_base right?")
    if status < 400:
        return BackboneError(f"{endpoint.host} redirects (status {status}), which is not followed; set {part}.api_base")
    if status == 401 or BAD_KEY.search(everything):
        if endpoint.key_name:
            return BackboneError(f"{endpoint.host} does not take the key in {endpoint.key_name}; export a valid one")
        return BackboneError(f"{endpoint.host} wants a key: put it into a variable and name that in {part}.key_env")
    # Gemini words a rate limit like an exhausted quota, but says when to come back.
    passing = said.delay is not None and not LASTING.search(said.codes)
    if status == 402 or (EXHAUSTED.search(everything) and not passing):
        return BackboneError(f"the account of {endpoint.key_name or endpoint.host} has no money or quota left{told}")
    if status == 403 and MODERATED.search(everything):
        return Refused(f"the filter of {endpoint.name} does not take the content{told}")
    if status == 403:
        key = f"the key in {endpoint.key_name}" if endpoint.key_name else f"a request without {part}.key_env"
        return BackboneError(f"{endpoint.host} does not allow {endpoint.name} for {key}{told}")
    if NO_IMAGES.search(everything):
        return BackboneError(
            f"{endpoint.name} cannot see images; set {part}.images=false or another {part}.model{told}"
        )
    if status == 413 or (status in (400, 422, 429) and TOO_LONG.search(everything)):
        return ContextTooLong(f"the conversation is too long for {endpoint.name}{told}")
    if status in (400, 422) and REFUSED.search(everything):
        return Refused(f"the filter of {endpoint.name} does not take the content{told}")
    if (
        status == 404
        or "model_not_found" in said.codes
        or (status == 400 and re.search(r"model.{0,40}not (found|exist)", said.text))
    ):
        return _not_found(endpoint, said)
    if status == 429 or status in (408, 409, 425) or status >= 500:
        return BackboneBusy(f"{endpoint.name}: {_phrase(status)}{told}", _retry_after(exchange, said))
    setting = f"; see {_setting(endpoint, said.parameter)}" if said.parameter else ""
    return BackboneError(f"{named} refuses the request (status {status}){told}{setting}")


def _not_found(endpoint: Endpoint, said: Said) -> MaiaError:
    if endpoint.provider.name == "ollama_chat":
        return BackboneError(f"{endpoint.host} has no model {endpoint.model}; run `ollama pull {endpoint.model}`")
    if endpoint.own:
        near = did_you_mean(endpoint.model, prices.names(endpoint.provider.name))
        told = f" ({said.text})" if said.text and not near else ""
        return BackboneError(f"{endpoint.host} has no model '{endpoint.model}'; set {endpoint.part}.model{told}.{near}")
    return BackboneError(
        f"{endpoint.base} has no model '{endpoint.model}'; set {endpoint.part}.model, or {endpoint.part}.api_base if "
        f"that is not its address{f' ({said.text})' if said.text else ''}"
    )


def _silence(endpoint: Endpoint, error: Exception, answered: bool, limit: str) -> MaiaError:
    """Says why there was no reply. What may pass is tried again; a server that was never there is not."""
    part, host = endpoint.part, endpoint.host
    causes = list(_causes(error))
    if _has(causes, ssl.SSLCertVerificationError):
        return BackboneError(
            f"the certificate of {host} is not trusted; set SSL_CERT_FILE to the file with its authority, or mend "
            f"{part}.api_base"
        )
    if _has(causes, ssl.SSLError) and not answered:
        return BackboneError(f"{host} does not speak HTTPS as asked; is {part}.api_base http:// or another port?")
    if isinstance(error, httpx.TimeoutException):
        return BackboneBusy(f"{endpoint.name}: no reply in time ({limit})")
    if isinstance(error, httpx.ConnectError) and not answered:
        what = "start the server or set" if endpoint.local else "check the network, or set"
        why = "there is no such host" if _has(causes, socket.gaierror) else "nothing answers"
        return BackboneError(f"{why} at {host}: {what} {part}.api_base")
    if isinstance(error, httpx.ProxyError):
        return BackboneError(f"the proxy on the way to {host} fails; see HTTPS_PROXY and NO_PROXY")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.DecodingError):
        return BackboneError(f"{endpoint.name} at {host}: {clean(str(error), endpoint)}")
    return BackboneBusy(f"{endpoint.name}: the connection to {host} was lost")


def _said(endpoint: Endpoint, exchange: Exchange) -> Said:
    """Reads an error in the forms that providers send it in."""
    try:
        body: Any = json.loads(exchange.body)
    except ValueError:
        return Said("", "", "", None)
    if isinstance(body, list):  # Gemini wraps some errors in a list.
        body = body[0] if body else {}
    inner = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(inner, dict):
        return Said(clean(str(inner), endpoint), "", "", None)
    text = inner.get("message") or inner.get("detail") or inner.get("msg") or ""
    metadata = inner.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):  # OpenRouter: what its provider said.
        text = f"{text} {metadata['raw']}"
    details = inner.get("details")
    listed = [d for d in details if isinstance(d, dict)] if isinstance(details, list) else []
    violations = [v for d in listed for v in d.get("violations", ()) if isinstance(v, dict)]
    codes = [inner.get(name) for name in ("code", "type", "status")]
    codes += [d.get("reason") for d in listed] + [v.get("quotaId") for v in violations]
    delays = [str(d["retryDelay"]) for d in listed if "retryDelay" in d]  # Gemini: "37s".
    delay = next((float(d[:-1]) for d in delays if re.fullmatch(r"\d+(\.\d+)?s", d)), None)
    parameter = str(inner.get("param") or "")
    return Said(
        clean(str(text), endpoint),
        clean(" ".join(str(code) for code in codes if code), endpoint),
        parameter if re.fullmatch(r"[\w.\[\]]{1,40}", parameter) and clean(parameter, endpoint) == parameter else "",
        delay,
    )


def _retry_after(exchange: Exchange, said: Said) -> float | None:
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
    return said.delay


def _setting(endpoint: Endpoint, parameter: str) -> str:
    own = {"max_tokens": "limits.reply_tokens", "max_completion_tokens": "limits.reply_tokens"}
    named = ("model", "temperature", "reasoning_effort", "size", "quality")
    parameter = parameter.partition("[")[0].partition(".")[0]
    if parameter in own:
        return own[parameter]
    return f"{endpoint.part}.{parameter if parameter in named else f'params.{parameter}'}"


def _phrase(status: int) -> str:
    """Says what a status means, in a few words."""
    known = {429: "too many requests", 529: "overloaded"}
    try:
        return known.get(status) or HTTPStatus(status).phrase.lower()
    except ValueError:
        return f"status {status}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _has(causes: Iterable[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes)
