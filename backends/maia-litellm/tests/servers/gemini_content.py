"""Gemini's `models/<model>:generateContent` and its list of models."""

from __future__ import annotations

import base64
import itertools
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any, Literal

from google.genai import types
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from servers import schema
from servers.base import ProviderServer, Received, Refused, Response
from servers.media import BadImage, Media, decoded
from servers.openai_images import draw
from servers.script import Answer, Drawing, FailureKind, Script
from servers.tokens import Block, of_text

KEY = "AIzaLocalGemini0123456789"
MODELS = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash", "gemini-3-pro-preview", "gemini-2.5-flash-image")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
PATH = re.compile(r"/v1beta/models/(?P<model>[^/:]+):generateContent")
IMAGE_TOKENS = 258
"""Of an image of at most 384 pixels a side; larger ones have as many for each tile of 768 pixels (page "Image
understanding")."""


class GenerationConfig(types.GenerationConfig):
    """The SDK's type and the field that the REST API has for image models (page "Image generation")."""

    image_config: types.ImageConfig | None = None


class GenerateContentRequest(BaseModel):
    """The body of a request: the SDK's types under the names of the REST API, camel case or snake case."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    contents: list[types.Content]
    system_instruction: types.Content | None = None
    generation_config: GenerationConfig | None = None
    safety_settings: list[types.SafetySetting] | None = None
    tools: list[types.Tool] | None = None
    tool_config: types.ToolConfig | None = None
    cached_content: str | None = None
    labels: dict[str, str] | None = None


@dataclass(frozen=True)
class Limits:
    """Gemini's page "Image understanding", as stored in 2025.

    Attributes:
        images: Image files in a request.
        request_bytes: Size of a request with inline data. Google announced 100 MB for the Gemini API on 2026-01-12;
            Vertex AI and older models keep 20 MB. The stricter one holds here.
    """

    images: int = 3600
    request_bytes: int = 20 * 2**20
    output_tokens: int | None = 65_536


DRAWN_TOKENS = 1290
"""Output tokens of a picture of 1024 x 1024 (page "Image generation")."""

CACHE_LEAST = 1024
"""Gemini's page "Context caching": implicit caching of 2.5 Flash begins here."""


class GeminiServer(ProviderServer):
    """Google's Gemini service. Its API base ends with `/v1beta`."""

    base_path = "/v1beta"

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
        if request.path != "/v1beta/models":
            return None
        self._check_key(request)
        methods = ["generateContent"]
        data = [{"name": f"models/{m}", "displayName": m, "supportedGenerationMethods": methods} for m in self.models]
        return Response(200, json.dumps({"models": data}).encode())

    def validate(self, request: Received) -> None:
        """See `ProviderServer.validate`."""
        match = PATH.fullmatch(request.path)
        if match is None or request.method != "POST":
            raise refused(404, "NOT_FOUND", f"Requested entity was not found: {request.path}")
        self._check_key(request)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise invalid("Content-Type must be application/json")
        if request.size > self.limits.request_bytes:
            raise invalid(f"Request payload size exceeds the limit: {self.limits.request_bytes} bytes.")
        if match["model"] not in self.models:
            raise refused(*_unknown_model(match["model"]))
        try:
            request.body = json.loads(request.raw)
            schema.check(GenerateContentRequest, request.raw)
        except schema.Unfit as error:
            parent, _, name = error.where.rpartition(".")
            where = f" at '{parent}'" if parent else ""
            what = f'Unknown name "{name}"{where}: Cannot find field.' if error.unknown else f"{error.where}: {error}"
            raise invalid(f"Invalid JSON payload received. {what}") from None
        except ValueError:
            raise invalid("Invalid JSON payload received. Unexpected token.") from None
        self._check_config(_get(request.body, "generation_config") or {})
        self._check_contents(request)
        tokens = sum(block.tokens for block in blocks(request))
        if self.context_tokens is not None and tokens > self.context_tokens:
            raise invalid(_too_long(tokens, self.context_tokens))

    def _check_key(self, request: Received) -> None:
        given = request.headers.get("x-goog-api-key")
        if "key=" in request.query:
            raise invalid("this server takes the key in the header x-goog-api-key only: an address ends up in logs")
        if given is None:
            raise refused(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers (callers without "
                          "established identity). Please use API Key or other form of API consumer identity to call "
                          "this API.")  # fmt: skip
        if given != self.key:
            raise refused(*_BAD_KEY[:3], details=_BAD_KEY[3])

    def _check_config(self, config: dict[str, Any]) -> None:
        limit, most = _get(config, "max_output_tokens"), self.limits.output_tokens
        if limit is not None and (limit < 1 or (most is not None and limit > most)):
            raise invalid(
                f"Unable to submit request because it has a maxOutputTokens value of {limit} but the supported range "
                f"is from 1 (inclusive) to {(most or limit) + 1} (exclusive). Update the value and try again."
            )
        if not 0 <= (_get(config, "temperature") or 0) <= 2:
            raise invalid(
                "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0]."
            )
        if (_get(config, "candidate_count") or 1) != 1:
            raise invalid("Multiple candidates is not enabled for this model")

    def _check_contents(self, request: Received) -> None:
        contents = request.body["contents"]
        if not contents:
            raise invalid("* GenerateContentRequest.contents: contents is not specified")
        roles = [content.get("role") or "user" for content in contents]
        if not set(roles) <= {"user", "model"}:
            raise invalid("Please use a valid role: user, model.")
        if any(a == b for a, b in itertools.pairwise(roles)):
            raise invalid("Please ensure that multiturn requests alternate between user and model.")
        if roles[0] != "user":
            raise invalid("Please ensure that the first message is from the user.")
        if roles[-1] != "user":
            raise invalid("Please ensure that multiturn requests end with a user role or a function response.")
        for n, content in enumerate(contents):
            if not content.get("parts"):
                raise invalid(f"* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty.")
            for m, part in enumerate(content["parts"]):
                where = f"contents[{n}].parts[{m}]"
                blob = _get(part, "inline_data")
                if blob is not None:
                    request.images.append(_image(blob, where))
                elif _get(part, "file_data") is not None:
                    raise invalid(f"* GenerateContentRequest.{where}.file_data: this server fetches nothing")
                elif "text" not in part and not any(
                    _get(part, name) for name in ("function_call", "function_response")
                ):
                    raise invalid(
                        f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one initialized "
                        "field"
                    )
        if len(request.images) > self.limits.images:
            raise invalid(f"Please use fewer than {self.limits.images} images in your request.")

    def reply(self, request: Received, step: Answer | Any) -> dict[str, Any]:
        """See `ProviderServer.reply`."""
        limit = _get(_get(request.body, "generation_config") or {}, "max_output_tokens")
        if isinstance(step, Drawing):
            return self._drawing(request, step)
        thought = of_text(step.reasoning)
        text, stop = step.text, step.stop
        if limit is not None and text is not None and thought + of_text(text) > limit:
            text, stop = text.encode()[: max(limit - thought, 0) * 4].decode(errors="ignore"), "length"
        parts: list[dict[str, Any]] = []
        if step.reasoning:
            parts.append({"text": step.reasoning, "thought": True})
        if text:
            parts.append({"text": text})
        if stop == "tool":
            parts.append({"functionCall": {"name": "look", "args": {}}})
        finish = {"end": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY", "tool": "STOP"}[stop]
        candidate: dict[str, Any] = {"finishReason": finish, "index": 0}
        if stop != "refusal":
            candidate["content"] = {"role": "model", **({"parts": parts} if parts else {})}
        return self._response(request, {"candidates": [candidate]}, of_text(text or ""), thought)

    def _drawing(self, request: Received, step: Drawing) -> dict[str, Any]:
        """Answers as the image models do: with a picture among the parts."""
        text = " ".join(part.get("text") or "" for part in request.body["contents"][-1]["parts"])
        data = step.data or draw(text, request.images[0].image if request.images else None, (1024, 1024))
        part = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(data).decode()}}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        return self._response(request, {"candidates": [candidate]}, DRAWN_TOKENS, 0)

    def empty(self, request: Received) -> dict[str, Any]:
        """See `ProviderServer.empty`."""
        return self._response(request, {"candidates": []}, 0, 0)

    def _response(self, request: Received, body: dict[str, Any], said: int, thought: int) -> dict[str, Any]:
        prompt = blocks(request)
        model = _model(request)
        used, read = sum(b.tokens for b in prompt), self.cache.automatic((self.key, model), prompt, CACHE_LEAST, 1)
        kinds: dict[Literal["TEXT", "IMAGE"], int] = {"TEXT": 0, "IMAGE": 0}
        for block in prompt:
            kinds["IMAGE" if _get(block.content[1], "inline_data") else "TEXT"] += block.tokens
        usage: dict[str, Any] = {
            "promptTokenCount": used,
            "totalTokenCount": used + said + thought,
            "promptTokensDetails": [{"modality": kind, "tokenCount": count} for kind, count in kinds.items() if count],
        }
        if said:
            usage["candidatesTokenCount"] = said
        if thought:
            usage["thoughtsTokenCount"] = thought
        if read:
            usage["cachedContentTokenCount"] = read
        return {**body, "usageMetadata": usage, "modelVersion": model, "responseId": uuid.uuid4().hex}

    def failure(self, kind: FailureKind, request: Received) -> tuple[int, dict[str, Any]]:
        """See `ProviderServer.failure`."""
        if kind == "policy":
            # Not an error: the prompt is answered with the reason why it was blocked.
            return 200, self._response(request, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, 0, 0)
        retry = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "21s"}]
        known: dict[FailureKind, tuple[Any, ...]] = {
            "unauthorized": _BAD_KEY,
            "forbidden": (403, "PERMISSION_DENIED", "The caller does not have permission"),
            "unknown-model": _unknown_model(_model(request)),
            "rate-limit": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and "
                           "billing details. Please retry in 21s.", retry),
            "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing "
                      "details."),
            "server-error": (500, "INTERNAL", "An internal error has occurred. Please retry."),
            "bad-gateway": (502, "UNAVAILABLE", "Bad gateway"),
            "unavailable": (503, "UNAVAILABLE", "The service is currently unavailable."),
            "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
            "context": (400, "INVALID_ARGUMENT", _too_long(1_200_123, 1_048_576)),
            "too-large": (400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
        }  # fmt: skip
        status, name, message, *details = known[kind]
        return status, _body(status, name, message, *details)


def refused(status: int, name: str, message: str, details: list[dict[str, Any]] | None = None) -> Refused:
    """Makes an error in Google's form."""
    return Refused(status, _body(status, name, message, details))


def invalid(message: str) -> Refused:
    """Makes the error for a request that is not valid."""
    return refused(400, "INVALID_ARGUMENT", message)


def _body(status: int, name: str, message: str, details: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    more = {"details": details} if details else {}
    return {"error": {"code": status, "message": message, "status": name, **more}}


_BAD_KEY: tuple[int, str, str, list[dict[str, Any]]] = (
    400,
    "INVALID_ARGUMENT",
    "API key not valid. Please pass a valid API key.",
    [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}],
)


def _unknown_model(model: str) -> tuple[int, str, str]:
    message = (
        f"models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels "
        "to see the list of available models and their supported methods."
    )
    return 404, "NOT_FOUND", message


def _too_long(tokens: int, window: int) -> str:
    return f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({window})."


def _model(request: Received) -> str:
    match = PATH.fullmatch(request.path)
    return match["model"] if match else ""


def _get(fields: dict[str, Any], name: str) -> Any:
    """Returns a field by its snake-case name, as which or in camel case it may come."""
    head, *rest = name.split("_")
    return fields.get(name, fields.get(head + "".join(map(str.title, rest))))


def _image(blob: dict[str, Any], where: str) -> Media:
    declared = _get(blob, "mime_type") or ""
    if declared not in MEDIA_TYPES:
        raise invalid(f"Unsupported MIME type: {declared}")
    # Google's parser takes the URL-safe alphabet too.
    text = blob["data"].replace("-", "+").replace("_", "/")
    try:
        return decoded(text, "image/heic" if declared == "image/heif" else declared)
    except BadImage as error:
        raise invalid(f"Provided image is not valid ({where}: {error}).") from None


def blocks(request: Received) -> list[Block]:
    """Returns the prompt in pieces: the system instruction, then every part of every turn."""
    images = iter(request.images)
    found = []
    turns = [("system", _get(request.body, "system_instruction") or {})]
    turns += [(content.get("role") or "user", content) for content in request.body["contents"]]
    for role, content in turns:
        for part in content.get("parts") or ():
            tokens = _image_tokens(next(images)) if _get(part, "inline_data") else of_text(part.get("text") or "")
            found.append(Block([role, part], tokens))
    return found


def _image_tokens(media: Media) -> int:
    width, height = media.size
    tiles = 1 if max(width, height) <= 384 else -(-width // 768) * -(-height // 768)
    return IMAGE_TOKENS * tiles
