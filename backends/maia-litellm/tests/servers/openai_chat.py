"""OpenAI's chat completions (`/v1/chat/completions`), its image API (see `openai_images`) and its list of models."""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from servers import openai_images, schema
from servers.base import ProviderServer, Received, Refused, Response
from servers.media import BadImage, Media, decoded
from servers.script import Answer, Drawing, FailureKind, Script
from servers.tokens import Block, of_text

KEY = "sk-proj-localopenai0123456789"
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "gpt-5-mini", "o3", "o4-mini", *openai_images.MODELS)
REASONING = re.compile(r"^(o\d|gpt-([5-9]|\d\d)(?!.*chat))")

DATA_URL = re.compile(r"data:(?P<type>[^;,]*);base64,(?P<data>.*)", re.DOTALL)
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")


@dataclass(frozen=True)
class Limits:
    """OpenAI's guide "Images and vision", section on image input requirements, as stored in 2025/26."""

    images: int = 500
    request_bytes: int = 50 * 2**20
    output_tokens: int | None = None


CACHE_LEAST, CACHE_STEP = 1024, 128
"""OpenAI's guide "Prompt caching": prefixes of 1024 tokens and more, cached in steps of 128."""


class OpenAIServer(ProviderServer):
    """OpenAI's service, or (with other `models`) any server that is compatible with it."""

    base_path = "/v1"

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
        self._check_key(request)
        data = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"} for name in self.models]
        return Response(200, json.dumps({"object": "list", "data": data}).encode())

    def validate(self, request: Received) -> None:
        """See `ProviderServer.validate`."""
        if request.path in openai_images.PATHS:
            self._check_key(request)
            openai_images.validate(request, self.models)
            return
        if request.path != "/v1/chat/completions" or request.method != "POST":
            raise refused(404, f"Invalid URL ({request.method} {request.path})")
        self._check_key(request)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise refused(400, "you must provide a JSON body with content-type application/json")
        if request.size > self.limits.request_bytes:
            raise refused(413, "Maximum content size limit exceeded", code="request_too_large")
        body = request.body = parsed(request.raw)
        model = body.get("model") if isinstance(body, dict) else None
        if model is None:
            raise refused(400, "you must provide a model parameter")
        if model not in self.models:
            raise refused(*_unknown_model(model))
        try:
            schema.check(CompletionCreateParamsNonStreaming, request.raw)
        except schema.Unfit as error:
            if error.unknown:
                raise refused(400, f"Unknown parameter: '{error.where}'.", error.where, "unknown_parameter") from None
            raise refused(400, f"Invalid value for '{error.where}': {error}", error.where, "invalid_value") from None
        self._check_parameters(body)
        self._check_messages(request)
        tokens = sum(block.tokens for block in blocks(request))
        if self.context_tokens is not None and tokens > self.context_tokens:
            raise refused(*_too_long(self.context_tokens, tokens))

    def _check_key(self, request: Received) -> None:
        given = request.headers.get("authorization")
        if not given:
            raise refused(401, "You didn't provide an API key.")
        if given != f"Bearer {self.key}":
            raise refused(401, "Incorrect API key provided.", code="invalid_api_key")

    def _check_parameters(self, body: dict[str, Any]) -> None:
        if body.get("n", 1) not in (1, None):
            raise refused(400, "this server gives one choice", "n", "invalid_value")
        if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
            raise refused(400, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
        for name in ("max_tokens", "max_completion_tokens"):
            limit, most = body.get(name), self.limits.output_tokens
            if limit is not None and limit < 1:
                raise refused(400, f"Invalid '{name}': integer below minimum value.", name, "integer_below_min_value")
            if limit is not None and most is not None and limit > most:
                message = f"{name} is too large: {limit}. This model supports at most {most} completion tokens."
                raise refused(400, message, name, "invalid_value")
        if not 0 <= (body.get("temperature") or 0) <= 2:
            raise refused(400, "Invalid 'temperature': decimal above maximum value.", "temperature", "invalid_value")
        if not REASONING.match(body["model"]):
            if "reasoning_effort" in body:
                message = "Unsupported parameter: 'reasoning_effort' is not supported with this model."
                raise refused(400, message, "reasoning_effort", "unsupported_parameter")
            return
        # OpenAI's guide "Reasoning models" and the errors that its users report.
        for name, instead in (("max_tokens", " Use 'max_completion_tokens' instead."), ("stop", ""), ("logprobs", ""),
                              ("top_logprobs", ""), ("logit_bias", "")):  # fmt: skip
            if body.get(name):
                message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
                raise refused(400, message, name, "unsupported_parameter")
        for name, only in (("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0)):
            if body.get(name, only) not in (only, None):
                message = (
                    f"Unsupported value: '{name}' does not support {body[name]} with this model. "
                    f"Only the default ({only}) value is supported."
                )
                raise refused(400, message, name, "unsupported_value")

    def _check_messages(self, request: Received) -> None:
        messages = request.body["messages"]
        if not messages:
            raise refused(400, "Invalid 'messages': empty array.", "messages", "empty_array")
        for n, message in enumerate(messages):
            content = message.get("content")
            if content is None and message["role"] != "assistant":
                where = f"messages[{n}].content"
                raise refused(400, f"Invalid value for '{where}': expected a string, got null.", where)
            if content == []:
                where = f"messages[{n}].content"
                raise refused(400, f"Invalid '{where}': empty array.", where, "empty_array")
            for m, part in enumerate(content if isinstance(content, list) else ()):
                if part["type"] == "image_url":
                    request.images.append(_image(part["image_url"]["url"], f"messages[{n}].content[{m}].image_url"))
        if len(request.images) > self.limits.images:
            message = f"Too many images in request. Max is {self.limits.images}."
            raise refused(400, message, "messages", "too_many_images")

    def reply(self, request: Received, step: Answer | Drawing) -> dict[str, Any]:
        """See `ProviderServer.reply`."""
        if request.path in openai_images.PATHS:
            return openai_images.reply(request, step if isinstance(step, Drawing) else Drawing())
        answer = step if isinstance(step, Answer) else Answer()
        body = request.body
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        thought = of_text(answer.reasoning)
        text, stop = answer.text, answer.stop
        if limit is not None and text is not None and thought + of_text(text) > limit:
            text, stop = text.encode()[: max(limit - thought, 0) * 4].decode(errors="ignore"), "length"
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if stop == "refusal":
            message.update(content=None, refusal=answer.text)
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if stop == "tool":
            call = {"name": "look", "arguments": "{}"}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
        finish = {"end": "stop", "length": "length", "refusal": "content_filter", "tool": "tool_calls"}[stop]
        return self._completion(
            request, [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}], text, thought
        )

    def empty(self, request: Received) -> dict[str, Any]:
        """See `ProviderServer.empty`."""
        if request.path in openai_images.PATHS:
            return {"created": int(time.time()), "data": []}
        return self._completion(request, [], "", 0)

    def _completion(
        self, request: Received, choices: list[dict[str, Any]], text: str | None, thought: int
    ) -> dict[str, Any]:
        prompt = blocks(request)
        read = self.cache.automatic((self.key, request.body["model"]), prompt, CACHE_LEAST, CACHE_STEP)
        used, said = sum(block.tokens for block in prompt), of_text(text or "") + thought
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": request.body["model"],
            "choices": choices,
            "usage": {
                "prompt_tokens": used,
                "completion_tokens": said,
                "total_tokens": used + said,
                "prompt_tokens_details": {"cached_tokens": read, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": thought,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
            "system_fingerprint": "fp_local",
        }

    def failure(self, kind: FailureKind, request: Received) -> tuple[int, dict[str, Any]]:
        """See `ProviderServer.failure`."""
        model = request.body.get("model") if isinstance(request.body, dict) else ""
        images = request.path in openai_images.PATHS
        if kind == "policy":
            return openai_images.policy(str(model)) if images else _POLICY
        known: dict[FailureKind, tuple[Any, ...]] = {
            "unauthorized": (401, "Incorrect API key provided.", None, "invalid_api_key"),
            "forbidden": (403, f"Project `proj_1` does not have access to model `{model}`", None, "model_not_found"),
            "unknown-model": _unknown_model(str(model)),
            "rate-limit": (429, f"Rate limit reached for {model} in organization org-1 on requests per min (RPM): "
                           "Limit 3, Used 3, Requested 1. Please try again in 20s.", None, "rate_limit_exceeded"),
            "quota": (429, "You exceeded your current quota, please check your plan and billing details.", None,
                      "insufficient_quota"),
            "server-error": (500, "The server had an error while processing your request. Sorry about that!"),
            "bad-gateway": (502, "Bad gateway."),
            "unavailable": (503, "The server is currently unavailable. Please try again later."),
            "overloaded": (503, "The engine is currently overloaded, please try again later."),
            "context": _too_long(128_000, 130_123),
            "too-large": (413, "Maximum content size limit exceeded", None, "request_too_large"),
        }  # fmt: skip
        status, message, *more = known[kind]
        types = {"quota": "insufficient_quota", "rate-limit": "requests"}
        default = "server_error" if status >= 500 else "invalid_request_error"
        return status, _body(message, *more, type=types.get(kind, default))


def refused(status: int, message: str, param: str | None = None, code: str | None = None) -> Refused:
    """Makes an error in OpenAI's form."""
    return Refused(status, _body(message, param, code))


def parsed(raw: bytes) -> Any:
    """Parses a JSON body.

    Raises:
        Refused: it is no JSON object.
    """
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise refused(400, "We could not parse the JSON body of your request.")
    return body


def _body(
    message: str, param: str | None = None, code: str | None = None, *, type: str = "invalid_request_error"
) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def _unknown_model(model: str) -> tuple[int, str, None, str]:
    return 404, f"The model `{model}` does not exist or you do not have access to it.", None, "model_not_found"


def _too_long(window: int, tokens: int) -> tuple[int, str, str, str]:
    message = (
        f"This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages."
    )
    return 400, message, "messages", "context_length_exceeded"


_POLICY = (
    400,
    _body(
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a "
        "different prompt.",
        None,
        "invalid_prompt",
    ),
)


def _image(url: str, where: str) -> Media:
    match = DATA_URL.fullmatch(url)
    if match is None:
        raise refused(
            400, "Error while downloading the image; this server fetches nothing.", where, "invalid_image_url"
        )
    if match["type"] not in MEDIA_TYPES:
        raise refused(
            400, f"Invalid MIME type '{match['type']}'. Only image types are supported.", where, "invalid_image_format"
        )
    try:
        media = decoded(match["data"], match["type"])
    except BadImage as error:
        message = (
            "You uploaded an unsupported image. Please make sure your image is valid and has one of the following "
            f"formats: ['png', 'jpeg', 'gif', 'webp'] ({error})."
        )
        raise refused(400, message, where, "invalid_image_format") from None
    if media.animated:
        raise refused(
            400, "You uploaded an animated image; only still images are supported.", where, "invalid_image_format"
        )
    return media


def blocks(request: Received) -> list[Block]:
    """Returns the prompt in pieces. An image has 85 tokens and 170 for each tile of 512 pixels (high detail)."""
    found, images = [], iter(request.images)
    for message in request.body["messages"]:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        for n, part in enumerate(parts):
            tokens = of_text(part.get("text", "")) if part["type"] == "text" else _image_tokens(next(images))
            found.append(Block([message["role"], part], tokens + (4 if n == 0 else 0)))
    return found


def _image_tokens(media: Media) -> int:
    width, height = media.size
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    return 85 + 170 * -(-int(width * scale) // 512) * -(-int(height * scale) // 512)
