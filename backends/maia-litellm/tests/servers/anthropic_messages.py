"""Anthropic's messages (`/v1/messages`) and its list of models."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

from servers import schema
from servers.base import ProviderServer, Received, Refused, Response
from servers.media import BadImage, Media, decoded
from servers.script import Answer, FailureKind, Script
from servers.tokens import Block, of_text

KEY = "sk-ant-api03-localanthropic0123456789"
MODELS = (
    "claude-haiku-4-5",
    "claude-opus-4-5",
    "claude-sonnet-4-6",
    "claude-opus-4-7",
    "claude-sonnet-5",
    "claude-opus-5",
)
OLD = "2023-06-01"
VERSIONS = (OLD, "2026-10-21")
"""The SDK's types are those of the newer version, which takes no sampling parameters and the key as a bearer token too
(release notes of 2026-10-21)."""
NO_TEXT = "messages: text content blocks must be non-empty"


class OldMessageCreateParams(MessageCreateParamsNonStreaming, total=False):
    """What the version of 2023 takes beyond the SDK's types."""

    temperature: float
    top_p: float
    top_k: int


def since(model: str, version: tuple[int, int]) -> bool:
    """Tells whether a model is of a version or a later one: `claude-opus-4-7` is of (4, 7), `claude-opus-5` of (5, 0).

    From 4.6 on there is no prefill and the window is a million tokens; from 4.7 on there are no sampling parameters and
    no thinking by budget (release notes of 2026, and the errors that users report).
    """
    match = re.match(r"claude-[a-z]+-(\d+)(?:-(\d{1,2})(?!\d))?", model)
    return match is not None and (int(match[1]), int(match[2] or 0)) >= version


@dataclass(frozen=True)
class Limits:
    """Anthropic's page "Vision" (general limits) and "Errors" (request size), as stored in 2026.

    Attributes:
        images: Images in a request to a model with a window of 200,000 tokens.
        images_long: Images in a request to a model with a longer window.
        image_base64: Length of one image's base64 text. The service's errors of 2025 and 2026 name 5 MB; 10 MB is
            reported since September 2026. The stricter one holds here.
        side: Largest side of an image in pixels.
        many: More images than this make a request one of many images,
        many_side: and then this is the largest side.
        request_bytes: Size of a request.
        breakpoints: Blocks with `cache_control`.
    """

    images: int = 100
    images_long: int = 600
    image_base64: int = 5 * 2**20
    side: int = 8000
    many: int = 20
    many_side: int = 2000
    request_bytes: int = 32 * 2**20
    breakpoints: int = 4
    output_tokens: int | None = 64_000


CACHE_LEAST, CACHE_LOOKBACK = 1024, 20
"""Anthropic's page "Prompt caching": the shortest prefix of Sonnet 4.5, and how far back an entry is looked for."""


class AnthropicServer(ProviderServer):
    """Anthropic's service. Its API base has no `/v1`."""

    def __init__(
        self,
        script: Script = "An answer.",
        *,
        key: str = KEY,
        models: tuple[str, ...] = MODELS,
        limits: Limits | None = None,
        context_tokens: int | None = None,
        tls: bool = False,
    ) -> None:
        super().__init__(script, key=key, models=models, context_tokens=context_tokens, tls=tls)
        self.limits = limits or Limits()

    def get(self, request: Received) -> Response | None:
        """Answers with the list of models."""
        if request.path != "/v1/models":
            return None
        self._check_headers(request)
        data = [
            {"id": m, "type": "model", "display_name": m, "created_at": "2025-09-29T00:00:00Z"} for m in self.models
        ]
        page = {"data": data, "has_more": False, "first_id": self.models[0], "last_id": self.models[-1]}
        return Response(200, json.dumps(page).encode())

    def validate(self, request: Received) -> None:
        """See `ProviderServer.validate`."""
        if request.path != "/v1/messages" or request.method != "POST":
            raise refused(404, "not_found_error", "Not Found")
        self._check_headers(request)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise refused(400, "invalid_request_error", "Content-Type must be application/json")
        if request.size > self.limits.request_bytes:
            raise refused(413, "request_too_large", "Request exceeds the maximum size")
        try:
            body = request.body = json.loads(request.raw)
        except ValueError:
            raise invalid("The request body is not valid JSON") from None
        try:
            schema.check(self._kind(request), request.raw)
        except schema.Unfit as error:
            message = "Extra inputs are not permitted" if error.unknown else str(error)
            raise invalid(f"{error.where}: {message}" if error.where else message) from None
        if body["model"] not in self.models:
            raise refused(404, "not_found_error", f"model: {body['model']}")
        self._check_parameters(body)
        self._check_messages(request)
        tokens = sum(block.tokens for block in blocks(request))
        if self.context_tokens is not None and tokens > self.context_tokens:
            raise invalid(f"prompt is too long: {tokens} tokens > {self.context_tokens} maximum")

    def _check_headers(self, request: Received) -> None:
        headers = request.headers
        given = [headers[name] for name in ("x-api-key", "authorization") if name in headers]
        if not given:
            raise refused(401, "authentication_error", "x-api-key header is required")
        if len(given) > 1:
            raise refused(401, "authentication_error", "this server wants the key in one header only")
        if given[0].removeprefix("Bearer ") != self.key:
            raise refused(401, "authentication_error", "invalid x-api-key")
        if "anthropic-version" not in headers:
            raise invalid("anthropic-version: header is required")
        if (version := headers["anthropic-version"]) not in VERSIONS:
            raise invalid(f'anthropic-version: "{version}" is not a valid version')

    def _kind(self, request: Received) -> Any:
        return (
            OldMessageCreateParams if request.headers["anthropic-version"] == OLD else MessageCreateParamsNonStreaming
        )

    def _check_parameters(self, body: dict[str, Any]) -> None:
        model, limit, most = body["model"], body["max_tokens"], self.limits.output_tokens
        if limit < 1:
            raise invalid("max_tokens: Input should be greater than or equal to 1")
        if most is not None and limit > most:
            raise invalid(
                f"max_tokens: {limit} > {most}, which is the maximum allowed number of output tokens for {model}"
            )
        for name in ("temperature", "top_p", "top_k"):
            if name in body and since(model, (4, 7)):
                raise invalid(f"`{name}` is deprecated for this model.")
        for name in ("temperature", "top_p"):
            if not 0 <= body.get(name, 1) <= 1:
                raise invalid(f"{name}: range: 0..1")
        if "temperature" in body and "top_p" in body:
            raise invalid("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
        thinking = body.get("thinking", {})
        if thinking.get("type") == "enabled":
            if since(model, (4, 7)):
                raise invalid(
                    '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                    '"output_config.effort" to control thinking behavior.'
                )
            if thinking["budget_tokens"] < 1024:
                raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
            if thinking["budget_tokens"] >= limit:
                raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
            if body.get("temperature", 1) != 1:
                raise invalid("`temperature` may only be set to 1 when thinking is enabled.")

    def _check_messages(self, request: Received) -> None:
        body, limits = request.body, self.limits
        messages, system = body["messages"], body.get("system") or []
        if not messages:
            raise invalid("messages: at least one message is required")
        # Turns of one role in a row are merged by the service ("Messages" reference, parameter `messages`).
        if messages[0]["role"] != "user":
            raise invalid('messages: first message must use the "user" role')
        marks = 1 if body.get("cache_control") else 0
        for n, block in enumerate(system if isinstance(system, list) else ()):
            if not block["text"]:
                raise invalid(f"system: text content blocks must be non-empty (system.{n})")
            marks += bool(block.get("cache_control"))
        for n, message in enumerate(messages):
            content, last = message["content"], n == len(messages) - 1
            if not content and not (last and message["role"] == "assistant"):
                raise invalid(
                    f"messages.{n}: all messages must have non-empty content except for the optional final assistant "
                    "message"
                )
            for m, block in enumerate(_list(content)):
                where = f"messages.{n}.content.{m}"
                if block.get("cache_control"):
                    marks += 1
                    if block["type"] == "text" and not block["text"]:
                        raise invalid(f"{where}.text: cache_control cannot be set for empty text blocks")
                if block["type"] == "text" and not block["text"]:
                    raise invalid(NO_TEXT)
                if block["type"] == "text" and not block["text"].strip():
                    raise invalid("messages: text content blocks must contain non-whitespace text")
                if block["type"] == "image":
                    if message["role"] != "user":
                        raise invalid(f"{where}: `image` blocks are not permitted in assistant messages")
                    request.images.append(self._image(block["source"], f"{where}.image.source"))
            if last and message["role"] == "assistant":
                if since(body["model"], (4, 6)):
                    raise invalid(
                        "This model does not support assistant message prefill. The conversation must end with a user "
                        "message."
                    )
                text = "".join(block.get("text", "") for block in _list(content))
                if text != text.rstrip():
                    raise invalid("messages: final assistant content cannot end with trailing whitespace")
        if marks > limits.breakpoints:
            raise invalid(
                f"A maximum of {limits.breakpoints} blocks with cache_control may be provided. Found {marks}."
            )
        most_images = limits.images_long if since(body["model"], (4, 6)) else limits.images
        if len(request.images) > most_images:
            raise invalid(f"messages: too many images and documents: {len(request.images)} + 0 > {most_images}")
        many = len(request.images) > limits.many
        most = limits.many_side if many else limits.side
        if any(max(media.size) > most for media in request.images):
            kind = " for many-image requests" if many else ""
            raise invalid(
                "messages: image.source.base64.data: At least one of the image dimensions exceed max allowed size"
                f"{kind}: {most} pixels"
            )

    def _image(self, source: dict[str, Any], where: str) -> Media:
        if source["type"] != "base64":
            raise invalid(f"{where}.{source['type']}: this server fetches nothing")
        data = source["data"]
        if len(data) > self.limits.image_base64:
            most = self.limits.image_base64
            raise invalid(
                f"{where}.base64: image exceeds {most / 2**20:g} MB maximum: {len(data)} bytes > {most} bytes"
            )
        try:
            return decoded(data, source["media_type"])
        except BadImage as error:
            if "declared" in str(error):
                raise invalid(
                    f"{where}.base64: The image was specified using the {source['media_type']} media type, but does "
                    f"not appear to be one ({error})"
                ) from None
            raise invalid(f"{where}.base64: Could not process image ({error})") from None

    def reply(self, request: Received, step: Answer | Any) -> dict[str, Any]:
        """See `ProviderServer.reply`."""
        limit, thought = request.body["max_tokens"], of_text(step.reasoning)
        text, stop = step.text, step.stop
        if text is not None and thought + of_text(text) > limit:
            text, stop = text.encode()[: max(limit - thought, 0) * 4].decode(errors="ignore"), "length"
        content: list[dict[str, Any]] = []
        if step.reasoning:
            content.append({"type": "thinking", "thinking": step.reasoning, "signature": "c2lnbmVk"})
        if text:
            content.append({"type": "text", "text": text, "citations": None})
        if stop == "tool":
            content.append({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}})
        return self._message(request, content, stop, of_text(text or "") + thought)

    def empty(self, request: Received) -> dict[str, Any]:
        """See `ProviderServer.empty`."""
        return self._message(request, [], "end", 0)

    def _message(self, request: Received, content: list[dict[str, Any]], stop: str, said: int) -> dict[str, Any]:
        prompt = blocks(request)
        read, written = self.cache.explicit((self.key, request.body["model"]), prompt, CACHE_LEAST, CACHE_LOOKBACK)
        reasons = {"end": "end_turn", "length": "max_tokens", "refusal": "refusal", "tool": "tool_use"}
        return {
            "id": f"msg_{uuid.uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": request.body["model"],
            "content": content,
            "stop_reason": reasons[stop],
            "stop_sequence": None,
            "usage": {
                "input_tokens": sum(block.tokens for block in prompt) - read - written,
                "cache_creation_input_tokens": written,
                "cache_read_input_tokens": read,
                "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
                "output_tokens": said,
                "service_tier": "standard",
            },
        }

    def failure(self, kind: FailureKind, request: Received) -> tuple[int, dict[str, Any]]:
        """See `ProviderServer.failure`."""
        model = request.body.get("model") if isinstance(request.body, dict) else ""
        status, name, message = {
            "unauthorized": (401, "authentication_error", "invalid x-api-key"),
            "forbidden": (403, "permission_error", "Your API key does not have permission to use the resource."),
            "unknown-model": (404, "not_found_error", f"model: {model}"),
            "rate-limit": (429, "rate_limit_error", "This request would exceed your organization's rate limit of 50 "
                           "requests per minute."),
            "quota": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. "
                      "Please go to Plans & Billing to upgrade or purchase credits."),
            "server-error": (500, "api_error", "Internal server error"),
            "bad-gateway": (502, "api_error", "Bad gateway"),
            "unavailable": (503, "api_error", "Service unavailable"),
            "overloaded": (529, "overloaded_error", "Overloaded"),
            "context": (400, "invalid_request_error", "prompt is too long: 210123 tokens > 200000 maximum"),
            "policy": (400, "invalid_request_error", "Output blocked by content filtering policy"),
            "too-large": (413, "request_too_large", "Request exceeds the maximum size"),
        }[kind]  # fmt: skip
        return status, _body(name, message)


def refused(status: int, name: str, message: str) -> Refused:
    """Makes an error in Anthropic's form."""
    return Refused(status, _body(name, message))


def invalid(message: str) -> Refused:
    """Makes the error for a request that is not valid."""
    return refused(400, "invalid_request_error", message)


def _body(name: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": name, "message": message}, "request_id": f"req_{uuid.uuid4().hex}"}


def _list(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def blocks(request: Received) -> list[Block]:
    """Returns the prompt in the order in which it is cached: tools, system, messages.

    An image has a token for 750 pixels, and at most about 1600 (page "Vision").
    """
    body, images = request.body, iter(request.images)
    found = [Block(["tool", _plain(tool)], of_text(json.dumps(tool)), _marked(tool)) for tool in body.get("tools", ())]
    system = body.get("system") or []
    found += [Block(["system", _plain(b)], of_text(b["text"]), _marked(b)) for b in _list(system)]
    for message in body["messages"]:
        for block in _list(message["content"]):
            if block["type"] == "image":
                width, height = next(images).size
                tokens = min(-(-width * height // 750), 1600)
            else:
                tokens = of_text(block.get("text") or json.dumps(block))
            found.append(Block([message["role"], _plain(block)], tokens, _marked(block)))
    if body.get("cache_control") and found:
        found[-1] = found[-1]._replace(mark=True)
    return found


def _plain(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != "cache_control"}


def _marked(block: dict[str, Any]) -> bool:
    return bool(block.get("cache_control"))
