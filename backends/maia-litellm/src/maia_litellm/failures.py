"""Translates a failed call into an error, from the response on the wire and not from the words of LiteLLM."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

from maia_core.plugin import BackboneBusy, BackboneError, ContextTooLong, MaiaError, did_you_mean
from maia_litellm import prices
from maia_litellm.completion import UNNUMBERED
from maia_litellm.history import History
from maia_litellm.options import OURS
from maia_litellm.provider_error import ProviderError, clean, read_error, retry_after
from maia_litellm.providers import Endpoint
from maia_litellm.silence import silence
from maia_litellm.wire import Exchange

NO_PARAMETER = re.compile(
    r"does not support (?:parameters: \[?'?|parameter )(\w+)|Setting `(\w+)` is not supported"
    r"|(\w+)=\S+ is not supported"
)
"""How LiteLLM says that a model does not take a parameter."""

TOO_LONG = re.compile(
    r"context.{0,3}(length|window|size|limit)|maximum.{0,20}(context|input length)|(prompt|input) is too long"
    r"|maximum (prompt|model) length|`inputs` tokens \+ `max_new_tokens` must be|`inputs` must have less than"
    r"|(input|prompt|token)s?.{0,40}exceeds? (the|its|this) (maximum|limit|configured)|exceeds the maximum number of "
    r"tokens|payload size exceeds|too many tokens|request (is )?too large|request_too_large|reduce the length",
    re.IGNORECASE,
)
REFUSED = re.compile(
    r"content[_ ](policy|filter|management)|responsible ?ai|safety system|usage policy|invalid_prompt|flagged",
    re.IGNORECASE,
)
MODERATED = re.compile(r"flagged|moderation|violates usage guidelines|SAFETY_CHECK", re.IGNORECASE)
"""Words of OpenRouter and xAI for content that a filter rejected."""

EXHAUSTED = re.compile(
    r"insufficient_quota|exceeded your current quota|credit balance|billing|payment|out of credits"
    r"|insufficient.{0,10}(credit|balance|fund)",
    re.IGNORECASE,
)
LASTING = re.compile(r"insufficient_quota|PerDay")
"""Codes of a quota that is not filled again while a run waits."""

NO_IMAGES = re.compile(
    r"(does not|doesn't|not) support(ed)?.{0,30}(image|vision|multimodal)|(image|vision).{0,40}not (supported|allowed)"
    r"|(image|vision).{0,40}(not enabled|only supported by)|endpoints found that support image|at most 0 image"
    r"|image input is not|missing data required for image|not a (multimodal|vision) model|cannot (see|process) images"
    # Servers that do not know that a message may hold anything but text.
    r"|unknown variant .?image_url|content must be a string|can only concatenate str \(not .list.\)",
    re.IGNORECASE,
)
TOO_MANY_IMAGES = re.compile(r"at most (?P<most>\d+) image|too many images", re.IGNORECASE)
LARGEST_ALLOWED = re.compile(r"(?:up to|max\w*|at most|limit|>)(?: is| of)?:? (\d+)", re.IGNORECASE)
"""How a provider says how many images it takes."""

BAD_KEY = re.compile(r"api[ _]?key not valid|API_KEY_INVALID|(invalid|incorrect) (api|x-api)[ -_]?key", re.IGNORECASE)
NO_MODEL = re.compile(r"model.{0,40}not (found|exist)|not a valid model|invalid.model|model_not_found", re.IGNORECASE)
LENGTH = re.compile(r"max_(completion_|output_|new_)?tokens")
"""The parameter that bounds the length of a reply, by its many names."""

_NOT_TAKEN = "(?:un(?:supported|recognized|known|expected)|not (?:supported|permitted|allowed)|extra)"
WRONG_LENGTH = re.compile(
    rf"use '?max_completion_tokens|{_NOT_TAKEN}.{{0,40}}max_(completion_)?tokens"
    rf"|max_(completion_)?tokens\b.{{0,20}}{_NOT_TAKEN}",
    re.IGNORECASE,
)
"""How a server says that it does not take the length of a reply, or takes it by its other name."""

SEED = re.compile(r"\bseed\b")
"""The parameter that MAIA sends to every server: a request that fails over it is sent without it."""

OPTIONS = re.compile(r"\b(temperature|reasoning_effort)\b")
NO_SYSTEM = re.compile(r"system.{0,12}(role|message|prompt)|roles must alternate", re.IGNORECASE)

MAX_IMAGE_FAILURES = 2
"""Failures with status 500 on requests with images that count as temporary while no image was ever accepted."""


class Refused(BackboneError):
    """The filter of the provider rejected the content of the request."""


class UnknownParameter(BackboneError):
    """The server does not take a parameter that MAIA sets.

    Attributes:
        parameter: "seed", or "length" for the length of the reply by the name that was sent.
    """

    def __init__(self, message: str, parameter: Literal["seed", "length"]) -> None:
        super().__init__(message)
        self.parameter = parameter


def failure(
    endpoint: Endpoint,
    exchange: Exchange,
    error: Exception,
    *,
    history: History,
    limit: str,
    served: Callable[[], list[str]],
) -> MaiaError:
    """Returns the error that a failed call ends with.

    Args:
        endpoint: The endpoint of the call.
        exchange: The response on the wire.
        error: The error of LiteLLM.
        history: Outcomes of the calls so far, including this one.
        limit: The setting that bounds the time of a call.
        served: Asks the server for the names of its models.
    """
    if isinstance(error, MaiaError):
        return error
    if exchange.status:
        return _status(endpoint, exchange, history, served)
    if exchange.error is not None:
        return silence(endpoint, exchange.error, history.answered, limit)
    text = clean(str(error), endpoint)
    if parameter := NO_PARAMETER.search(text):
        name = parameter[parameter.lastindex or 1]
        setting = _setting(endpoint, name)
        return BackboneError(f"{endpoint.name} has no '{name}'{f'; leave out {setting}' if setting else ''}")
    return BackboneError(f"{endpoint.name} cannot be asked: {text or type(error).__name__}")


def _status(endpoint: Endpoint, exchange: Exchange, history: History, served: Callable[[], list[str]]) -> MaiaError:
    status, part, reported = exchange.status, endpoint.part, read_error(endpoint, exchange)
    everything = f"{reported.text} {reported.codes}"
    told = f": {reported.text.rstrip('.')}" if reported.text else ""
    named = f"{endpoint.name} at {endpoint.host}"
    if status < 300:
        no_reply = f"{named} sent a response that is not a reply; check {part}.api_base{told}"
        return BackboneBusy(no_reply) if history.replied else BackboneError(no_reply)
    if status < 400:
        return BackboneError(f"{endpoint.host} redirects (status {status}), which is not followed; set {part}.api_base")
    if status == 401 or BAD_KEY.search(everything):
        if endpoint.key_name:
            return BackboneError(f"{endpoint.host} rejects the key in {endpoint.key_name}; export a valid one")
        return BackboneError(f"{endpoint.host} wants a key: put it into a variable and name that in {part}.key_env")
    # Gemini words a rate limit like an exhausted quota, but says when to come back.
    passing = reported.delay is not None and not LASTING.search(reported.codes)
    if status == 402 or (EXHAUSTED.search(everything) and not passing):
        return BackboneError(f"the account of {endpoint.key_name or endpoint.host} has no money or quota left{told}")
    if status == 403 and MODERATED.search(everything):
        return Refused(f"the filter of {endpoint.name} rejects the content{told}")
    if status == 403:
        key = f"the key in {endpoint.key_name}" if endpoint.key_name else f"a request without {part}.key_env"
        return BackboneError(f"{endpoint.host} does not allow {endpoint.name} for {key}{told}")
    if exchange.images and NO_IMAGES.search(everything):
        return BackboneError(
            f"{endpoint.name} cannot see images; set {part}.images=false or another {part}.model{told}"
        )
    if exchange.images and (many := TOO_MANY_IMAGES.search(reported.text)):
        most = many["most"] or (found[1] if (found := LARGEST_ALLOWED.search(reported.text)) else "")
        setting = f"={most}" if most else " lower"
        return BackboneError(f"{endpoint.name} takes fewer images in a request; set {part}.max_images{setting}{told}")
    refusal = f"{named} refuses the request (status {status}){told}"
    mistaken = status in (400, 422, UNNUMBERED)
    if mistaken and WRONG_LENGTH.search(everything):
        return UnknownParameter(refusal, "length")
    if mistaken and SEED.search(f"{everything} {reported.parameter}"):
        return UnknownParameter(refusal, "seed")
    if status == 413 or ((mistaken or status == 429) and TOO_LONG.search(everything)):
        return ContextTooLong(f"the conversation is too long for {endpoint.name}{told}{_shorter(endpoint, exchange)}")
    if mistaken and REFUSED.search(everything):
        return Refused(f"the filter of {endpoint.name} rejects the content{told}")
    if status == 404 or "model_not_found" in reported.codes or (mistaken and NO_MODEL.search(everything)):
        return _not_found(endpoint, reported, served)
    if status in (408, 409, 425, 429) or status > 500:
        return BackboneBusy(f"{endpoint.name}: {_phrase(status)}{told}", retry_after(exchange, reported))
    hint = _hint(endpoint, exchange, reported)
    unseen = exchange.images and not history.seen
    if unseen and not hint:
        hint = f"; if the model sees no images, set {part}.images=false"
    if status == 500 and not (unseen and history.broken > MAX_IMAGE_FAILURES):
        return BackboneBusy(f"{endpoint.name}: {_phrase(status)}{told}{hint}", retry_after(exchange, reported))
    return BackboneError(refusal + hint)


def _shorter(endpoint: Endpoint, exchange: Exchange) -> str:
    """Says which settings make a conversation shorter, where there is one."""
    if not exchange.length:
        return ""
    less = (
        "context_policy.images, context_policy.tokens" if endpoint.part == "backbone" else f"{endpoint.part}.max_side"
    )
    return f"; set {endpoint.part}.context_tokens to its window, or {less} or {exchange.length} lower"


def _not_found(endpoint: Endpoint, reported: ProviderError, served: Callable[[], list[str]]) -> MaiaError:
    part, model = endpoint.part, endpoint.model
    if endpoint.provider.name == "ollama_chat":
        return BackboneError(f"{endpoint.host} has no model {model}; run `ollama pull {model}`")
    names = prices.names(endpoint.provider.name) if endpoint.own else [clean(name, endpoint) for name in served()]
    if model in names:  # Then it is something else that was not found.
        names = []
    near = did_you_mean(model, names)
    if names and not near and not endpoint.own:
        near = f" It has {', '.join(names[:3])}."
    told = f" ({reported.text})" if reported.text and not near else ""
    if endpoint.own or names:
        return BackboneError(f"{endpoint.host} has no model '{model}'; set {part}.model{told}.{near}")
    return BackboneError(
        f"{endpoint.base} has no model '{model}'; set {part}.model, or {part}.api_base if that is not its address{told}"
    )


def _hint(endpoint: Endpoint, exchange: Exchange, reported: ProviderError) -> str:
    """Says which setting the parameter comes from that a provider finds fault with."""
    if exchange.length and LENGTH.search(reported.parameter or reported.text):
        return f"; set {exchange.length} lower"
    option = OPTIONS.search(reported.text)
    if setting := _setting(endpoint, reported.parameter or (option[0] if option else "")):
        return f"; see {setting}"
    return f"; set {endpoint.part}.system_role=false" if NO_SYSTEM.search(reported.text) else ""


def _setting(endpoint: Endpoint, parameter: str) -> str:
    """Returns the setting that a parameter comes from; empty for one that no setting changes."""
    named = ("model", "temperature", "reasoning_effort", "size", "quality")
    parameter = parameter.partition("[")[0].partition(".")[0]
    if not parameter or parameter in OURS.difference(named):
        return ""
    return f"{endpoint.part}.{parameter if parameter in named else f'params.{parameter}'}"


def _phrase(status: int) -> str:
    """Says what a status means, in a few words."""
    known = {429: "too many requests", 529: "overloaded", UNNUMBERED: "a failure in place of a reply"}
    try:
        return known.get(status) or HTTPStatus(status).phrase.lower()
    except ValueError:
        return f"status {status}"
