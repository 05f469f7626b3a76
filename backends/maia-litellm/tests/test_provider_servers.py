"""The servers of the other tests are as strict as the real services: the providers' own SDKs say so."""

from __future__ import annotations

import base64
import copy
import io
import json
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from PIL import Image as PILImage
from servers import (
    Answer,
    AnthropicServer,
    Bystander,
    Drawing,
    Failure,
    GeminiServer,
    OpenAIServer,
    ProviderServer,
    Trouble,
    anthropic_messages,
    gemini_content,
    openai_chat,
)

Body = dict[str, Any]
HTTP = httpx.Client(timeout=20)
CLAUDE, GPT, GEMINI = "claude-haiku-4-5", "gpt-4o", "gemini-2.5-flash"


def picture(size: tuple[int, int] = (40, 30), kind: str = "PNG", colour: str = "red", **options: Any) -> bytes:
    file = io.BytesIO()
    PILImage.new("RGB", size, colour).save(file, kind, **options)
    return file.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


RED = encoded(picture())
JPEG = encoded(picture(kind="JPEG"))
CUT = encoded(picture()[:60])
MOVING = encoded(picture(kind="GIF", save_all=True, append_images=[PILImage.new("RGB", (40, 30), "blue")]))


# One valid request a provider, over the wire as its SDK sends it; the refusals change one thing in it.


def openai_body(model: str = GPT) -> Body:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{RED}", "detail": "low"}}
    return {
        "model": model,
        "max_completion_tokens": 200,
        "messages": [
            {"role": "system", "content": "You look at pictures."},
            {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
            {"role": "assistant", "content": "A red square."},
            {"role": "user", "content": "Are you sure?"},
        ],
    }


def anthropic_body(model: str = CLAUDE) -> Body:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": RED}}
    return {
        "model": model,
        "max_tokens": 200,
        "system": [{"type": "text", "text": "You look at pictures.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
            {"role": "assistant", "content": "A red square."},
            {"role": "user", "content": "Are you sure?"},
        ],
    }


def gemini_body() -> Body:
    image = {"inline_data": {"mime_type": "image/png", "data": RED}}
    return {
        "systemInstruction": {"parts": [{"text": "You look at pictures."}]},
        "generationConfig": {"maxOutputTokens": 200, "seed": 1, "temperature": 0.5},
        "contents": [
            {"role": "user", "parts": [{"text": "What is this?"}, image]},
            {"role": "model", "parts": [{"text": "A red square."}]},
            {"role": "user", "parts": [{"text": "Are you sure?"}]},
        ],
    }


def ask_openai(server: ProviderServer, timeout: float = 5, **changes: Any) -> Any:
    client = openai.OpenAI(api_key=server.key, base_url=server.url, max_retries=0, timeout=timeout)
    return client.chat.completions.create(**{**openai_body(), **changes})


def ask_anthropic(server: ProviderServer, timeout: float = 5, **changes: Any) -> Any:
    client = anthropic.Anthropic(api_key=server.key, base_url=server.url, max_retries=0, timeout=timeout)
    return client.messages.create(**{**anthropic_body(), **changes})


def ask_gemini(server: ProviderServer, timeout: float = 5, **changes: Any) -> Any:
    options = genai_types.HttpOptions(base_url=server.host, api_version="v1beta", timeout=int(timeout * 1000))
    client = genai.Client(api_key=server.key, http_options=options)
    part = genai_types.Part.from_bytes(data=picture(), mime_type="image/png")
    arguments: Body = {
        "model": GEMINI,
        "contents": [
            genai_types.Content(role="user", parts=[genai_types.Part(text="What is this?"), part]),
            genai_types.Content(role="model", parts=[genai_types.Part(text="A red square.")]),
            genai_types.Content(role="user", parts=[genai_types.Part(text="Are you sure?")]),
        ],
        "config": genai_types.GenerateContentConfig(system_instruction="You look.", max_output_tokens=200, seed=1),
    }
    return client.models.generate_content(**{**arguments, **changes})


PROVIDERS: dict[str, tuple[Callable[..., ProviderServer], Callable[..., Any]]] = {
    "openai": (OpenAIServer, ask_openai),
    "anthropic": (AnthropicServer, ask_anthropic),
    "gemini": (GeminiServer, ask_gemini),
}
every_provider = pytest.mark.parametrize("provider", PROVIDERS)


def post(server: ProviderServer, body: Body | bytes, headers: dict[str, str | None] | None = None) -> httpx.Response:
    """Sends a body as it is, with the headers of the provider's protocol, some of them changed or left out."""
    path, own = {
        OpenAIServer: ("/v1/chat/completions", {"authorization": f"Bearer {server.key}"}),
        AnthropicServer: ("/v1/messages", {"x-api-key": server.key, "anthropic-version": "2023-06-01"}),
        GeminiServer: (f"/v1beta/models/{GEMINI}:generateContent", {"x-goog-api-key": server.key}),
    }[type(server)]
    merged = {"content-type": "application/json", **own, **(headers or {})}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HTTP.post(server.host + path, content=data, headers={k: v for k, v in merged.items() if v is not None})


def change(body: Body, *path: Any, to: Any = None) -> Body:
    """Returns a copy with one place changed, or left out."""
    changed = copy.deepcopy(body)
    at: Any = changed
    for step in path[:-1]:
        at = at[step]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return changed


# --- valid requests, and what comes back ---


def test_openai_answers_in_a_form_that_its_sdk_reads() -> None:
    with OpenAIServer(Answer("red", reasoning="it looks so", stop="length")) as server:
        reply = ask_openai(server)
    [choice] = reply.choices
    assert (choice.message.content, choice.message.reasoning_content) == ("red", "it looks so")
    assert choice.finish_reason == "length"
    assert reply.usage.completion_tokens_details.reasoning_tokens == 3
    assert reply.usage.prompt_tokens > 255, "the image counts"
    [request] = server.requests
    assert request.refused is None
    assert request.images[0].image.getpixel((0, 0)) == (255, 0, 0)
    assert request.carries(server.key)


def test_anthropic_answers_in_a_form_that_its_sdk_reads() -> None:
    with AnthropicServer(Answer("red", reasoning="it looks so", stop="refusal")) as server:
        reply = ask_anthropic(server)
    thought, said = reply.content
    assert (thought.thinking, said.text, reply.stop_reason) == ("it looks so", "red", "refusal")
    assert reply.usage.output_tokens == 4


def test_gemini_answers_in_a_form_that_its_sdk_reads() -> None:
    with GeminiServer(Answer("red", reasoning="it looks so")) as server:
        reply = ask_gemini(server)
    thought, said = reply.candidates[0].content.parts
    assert (thought.text, thought.thought, said.text) == ("it looks so", True, "red")
    assert reply.usage_metadata.thoughts_token_count == 3
    assert {d.modality.value for d in reply.usage_metadata.prompt_tokens_details} == {"TEXT", "IMAGE"}


@every_provider
def test_answer_is_cut_to_the_limit_of_the_request(provider: str) -> None:
    kind, _ = PROVIDERS[provider]
    body, path, stop = {
        "openai": (openai_body(), ("max_completion_tokens",), "length"),
        "anthropic": (anthropic_body(), ("max_tokens",), "max_tokens"),
        "gemini": (gemini_body(), ("generationConfig", "maxOutputTokens"), "MAX_TOKENS"),
    }[provider]
    with kind("twelve tokens of words, which is more than that") as server:
        text = post(server, change(body, *path, to=2)).text
    assert stop in text
    assert "twelve t" in text
    assert "twelve to" not in text


@every_provider
def test_content_that_is_null(provider: str) -> None:
    kind, ask = PROVIDERS[provider]
    with kind(Answer(None)) as server:
        reply = ask(server)
    found = {
        "openai": lambda: reply.choices[0].message.content,
        "anthropic": lambda: reply.content or None,
        "gemini": lambda: reply.candidates[0].content.parts,
    }[provider]()
    assert found is None


def test_gemini_that_refuses_has_no_content() -> None:
    with GeminiServer([Answer("red", stop="refusal"), Failure("policy")]) as server:
        reply, blocked = ask_gemini(server), ask_gemini(server)
    assert reply.candidates[0].content is None
    assert reply.candidates[0].finish_reason.value == "SAFETY"
    assert blocked.prompt_feedback.block_reason.value == "PROHIBITED_CONTENT"


def test_every_model_of_the_list_is_there() -> None:
    with OpenAIServer() as a, AnthropicServer() as b, GeminiServer() as c:
        one = openai.OpenAI(api_key=a.key, base_url=a.url).models.list()
        two = anthropic.Anthropic(api_key=b.key, base_url=b.url).models.list()
        three = httpx.get(c.url + "/models", headers={"x-goog-api-key": c.key}).json()
    assert tuple(m.id for m in one) == a.models
    assert tuple(m.id for m in two) == b.models
    assert tuple(m["name"].removeprefix("models/") for m in three["models"]) == c.models


# --- refusals ---

IMAGE = ("messages", 1, "content", 1)
URL = (*IMAGE, "image_url", "url")
OPENAI_REFUSALS = {
    "unknown field": (change(openai_body(), "think_hard", to=True), 400, "unknown_parameter"),
    "unknown field in a part": (change(openai_body(), *IMAGE, "alt", to="x"), 400, "unknown_parameter"),
    "wrong type": (change(openai_body(), "max_completion_tokens", to="200"), 400, "invalid_value"),
    "no model": (change(openai_body(), "model"), 400, "model parameter"),
    "unknown model": (change(openai_body(), "model", to="gpt-4.0"), 404, "model_not_found"),
    "no messages": (change(openai_body(), "messages", to=[]), 400, "empty_array"),
    "unknown role": (change(openai_body(), "messages", 0, "role", to="narrator"), 400, "invalid_value"),
    "image of an assistant": (change(openai_body(), "messages", 1, "role", to="assistant"), 400, "messages.1"),
    "image of the system": (change(openai_body(), "messages", 1, "role", to="system"), 400, "messages.1"),
    "empty content": (change(openai_body(), "messages", 1, "content", to=[]), 400, "empty_array"),
    "address of an image": (change(openai_body(), *URL, to="https://x.invalid/a.png"), 400, "invalid_image_url"),
    "bare base64": (change(openai_body(), *URL, to=RED), 400, "invalid_image_url"),
    "wrong media type": (change(openai_body(), *URL, to=f"data:image/png;base64,{JPEG}"), 400, "declared"),
    "bitmap": (change(openai_body(), *URL, to=f"data:image/bmp;base64,{RED}"), 400, "invalid_image_format"),
    "broken base64": (change(openai_body(), *URL, to=f"data:image/png;base64,{RED[:-3]}!"), 400, "base64"),
    "cut image": (change(openai_body(), *URL, to=f"data:image/png;base64,{CUT}"), 400, "invalid_image_format"),
    "animation": (change(openai_body(), *URL, to=f"data:image/gif;base64,{MOVING}"), 400, "animated"),
    "both limits": (change(openai_body(), "max_tokens", to=5), 400, "same time"),
    "no tokens": (change(openai_body(), "max_completion_tokens", to=0), 400, "integer_below_min_value"),
    "hot": (change(openai_body(), "temperature", to=3), 400, "temperature"),
    "effort": (change(openai_body(), "reasoning_effort", to="low"), 400, "unsupported_parameter"),
    "max_tokens of a reasoning model": ({**openai_body("o3"), "max_tokens": 9, "max_completion_tokens": None}, 400,
                                        "Use 'max_completion_tokens' instead"),
    "temperature of a reasoning model": ({**openai_body("gpt-5"), "temperature": 0}, 400, "unsupported_value"),
    "stop of a reasoning model": ({**openai_body("o4-mini"), "stop": ["x"]}, 400, "unsupported_parameter"),
    "stream": (change(openai_body(), "stream", to=True), 400, "stream"),
}  # fmt: skip

SOURCE = ("messages", 0, "content", 1, "source")
FOUR = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
ANTHROPIC_REFUSALS = {
    "unknown field": (change(anthropic_body(), "seed", to=1), 400, "seed: Extra inputs are not permitted"),
    "unknown field in a block": (change(anthropic_body(), *SOURCE, "alt", to="x"), 400, "Extra inputs"),
    "field of a message": (change(anthropic_body(), "messages", 0, "cache_control", to={}), 400, "Extra inputs"),
    "OpenAI's image": (change(anthropic_body(), *SOURCE[:-1], to=openai_body()["messages"][1]["content"][1]), 400, ""),
    "no max_tokens": (change(anthropic_body(), "max_tokens"), 400, "max_tokens: Field required"),
    "max_tokens of nothing": (change(anthropic_body(), "max_tokens", to=0), 400, "greater than or equal to 1"),
    "too many tokens": (change(anthropic_body(), "max_tokens", to=99_999), 400, "99999 > 64000"),
    "unknown model": (change(anthropic_body(), "model", to="claude-9"), 404, "model: claude-9"),
    "no messages": (change(anthropic_body(), "messages", to=[]), 400, "at least one message"),
    "system among the messages": (change(anthropic_body(), "messages", 0, "role", to="system"), 400, "messages"),
    "assistant first": (change(anthropic_body(), "messages", 0), 400, "first message must use"),
    "empty text": (change(anthropic_body(), "messages", 0, "content", 0, "text", to=""), 400, "must be non-empty"),
    "blank text": (change(anthropic_body(), "messages", 0, "content", 0, "text", to=" "), 400, "non-whitespace"),
    "empty message": (change(anthropic_body(), "messages", 2, "content", to=""), 400, "non-empty content"),
    "empty system": (change(anthropic_body(), "system", 0, "text", to=""), 400, "non-empty"),
    "trailing space": ({**anthropic_body(), "messages": [{"role": "user", "content": "a"}, {"role": "assistant",
                       "content": "It is "}]}, 400, "trailing whitespace"),
    "prefill": ({**anthropic_body("claude-sonnet-5"), "messages": [{"role": "user", "content": "a"}, {"role":
                "assistant", "content": "It"}]}, 400, "prefill"),
    "five breakpoints": (change(anthropic_body(), "messages", 2, "content", to=[FOUR] * 4), 400, "Found 5"),
    "wrong media type": (change(anthropic_body(), *SOURCE, "data", to=JPEG), 400, "does not appear to be"),
    "bitmap": (change(anthropic_body(), *SOURCE, "media_type", to="image/bmp"), 400, "media_type"),
    "broken base64": (change(anthropic_body(), *SOURCE, "data", to="%%%"), 400, "Could not process image"),
    "cut image": (change(anthropic_body(), *SOURCE, "data", to=CUT), 400, "Could not process image"),
    "image of an assistant": (change(anthropic_body(), "messages", 1, "content",
                              to=[anthropic_body()["messages"][0]["content"][1]]), 400, "assistant messages"),
    "address of an image": (change(anthropic_body(), *SOURCE, to={"type": "url", "url": "https://x.invalid"}), 400, ""),
    "hot": (change(anthropic_body(), "temperature", to=1.5), 400, "temperature"),
    "two samplers": ({**anthropic_body(), "temperature": 0.5, "top_p": 0.5}, 400, "cannot both"),
    "sampling of a late model": ({**anthropic_body("claude-opus-4-7"), "temperature": 1}, 400, "deprecated"),
    "thinking too little": ({**anthropic_body(), "thinking": {"type": "enabled", "budget_tokens": 10}}, 400, "1024"),
    "thinking beyond the limit": ({**anthropic_body(), "thinking": {"type": "enabled", "budget_tokens": 2000}}, 400,
                                  "must be greater than"),
    "budget of a late model": ({**anthropic_body("claude-opus-5"), "thinking": {"type": "enabled",
                               "budget_tokens": 2000}}, 400, "adaptive"),
    "stream": (change(anthropic_body(), "stream", to=True), 400, "stream"),
}  # fmt: skip

BLOB = ("contents", 0, "parts", 1, "inline_data")
GEMINI_REFUSALS = {
    "unknown field": (change(gemini_body(), "max_tokens", to=1), 400, 'Unknown name "max_tokens"'),
    "unknown field of the configuration": (change(gemini_body(), "generationConfig", "n", to=1), 400, "Unknown name"),
    "unknown field of a part": (change(gemini_body(), *BLOB[:-1], "alt", to="x"), 400, "Unknown name"),
    "wrong type": (change(gemini_body(), "generationConfig", "maxOutputTokens", to="many"), 400, "Invalid JSON"),
    "no contents": (change(gemini_body(), "contents", to=[]), 400, "contents is not specified"),
    "unknown role": (change(gemini_body(), "contents", 1, "role", to="assistant"), 400, "valid role: user, model"),
    "two user turns": (change(gemini_body(), "contents", 1, "role", to="user"), 400, "alternate"),
    "model last": (change(gemini_body(), "contents", 2), 400, "end with a user role"),
    "model first": (change(gemini_body(), "contents", 0), 400, "first message is from the user"),
    "no parts": (change(gemini_body(), "contents", 0, "parts", to=[]), 400, "parts must not be empty"),
    "empty part": (change(gemini_body(), "contents", 2, "parts", to=[{}]), 400, "oneof field 'data'"),
    "OpenAI's text": (change(gemini_body(), "contents", 2, "parts", 0, to={"type": "text", "text": "a"}), 400, "type"),
    "gif": (change(gemini_body(), *BLOB, "mime_type", to="image/gif"), 400, "Unsupported MIME type: image/gif"),
    "wrong media type": (change(gemini_body(), *BLOB, "data", to=JPEG), 400, "not valid"),
    "broken base64": (change(gemini_body(), *BLOB, "data", to="%%%"), 400, ""),
    "cut image": (change(gemini_body(), *BLOB, "data", to=CUT), 400, "not valid"),
    "too many tokens": (change(gemini_body(), "generationConfig", "maxOutputTokens", to=99_999), 400, "65537"),
    "hot": (change(gemini_body(), "generationConfig", "temperature", to=2.5), 400, "temperature"),
}  # fmt: skip

REFUSALS = [
    pytest.param(kind, body, status, expected, id=f"{name}: {what}")
    for name, kind, table in [
        ("openai", OpenAIServer, OPENAI_REFUSALS),
        ("anthropic", AnthropicServer, ANTHROPIC_REFUSALS),
        ("gemini", GeminiServer, GEMINI_REFUSALS),
    ]
    for what, (body, status, expected) in table.items()
]
VALID = {OpenAIServer: openai_body(), AnthropicServer: anthropic_body(), GeminiServer: gemini_body()}


@pytest.fixture(scope="module")
def open_servers() -> Iterator[dict[type[ProviderServer], ProviderServer]]:
    with OpenAIServer() as a, AnthropicServer() as b, GeminiServer() as c:
        yield {OpenAIServer: a, AnthropicServer: b, GeminiServer: c}


@pytest.mark.parametrize("kind", VALID)
def test_valid_request_is_taken(
    open_servers: dict[type[ProviderServer], ProviderServer], kind: type[ProviderServer]
) -> None:
    assert post(open_servers[kind], VALID[kind]).status_code == 200


@pytest.mark.parametrize(("kind", "body", "status", "expected"), REFUSALS)
def test_request_is_refused(
    open_servers: dict[type[ProviderServer], ProviderServer],
    kind: type[ProviderServer],
    body: Body,
    status: int,
    expected: str,
) -> None:
    server = open_servers[kind]
    answer = post(server, body)
    assert answer.status_code == status, answer.text
    assert expected in json.dumps(answer.json(), ensure_ascii=False).replace('\\"', '"')
    assert server.requests[-1].refused is not None
    assert "error" in answer.json()


HEADERS = [
    (OpenAIServer, {"authorization": None}, 401),
    (OpenAIServer, {"authorization": "Bearer sk-other"}, 401),
    (OpenAIServer, {"authorization": None, "x-api-key": openai_chat.KEY}, 401),
    (OpenAIServer, {"content-type": "text/plain"}, 400),
    (AnthropicServer, {"x-api-key": None}, 401),
    (AnthropicServer, {"x-api-key": "sk-other"}, 401),
    (AnthropicServer, {"authorization": f"Bearer {anthropic_messages.KEY}"}, 401),
    (AnthropicServer, {"anthropic-version": None}, 400),
    (AnthropicServer, {"anthropic-version": "2024-01-01"}, 400),
    (GeminiServer, {"x-goog-api-key": None}, 403),
    (GeminiServer, {"x-goog-api-key": "AIzaOther"}, 400),
    (GeminiServer, {"content-type": "text/plain"}, 400),
]


@pytest.mark.parametrize(("kind", "headers", "status"), HEADERS)
def test_headers_are_looked_at(
    open_servers: dict[type[ProviderServer], ProviderServer],
    kind: type[ProviderServer],
    headers: dict[str, str | None],
    status: int,
) -> None:
    assert post(open_servers[kind], VALID[kind], headers).status_code == status


@pytest.mark.parametrize("kind", VALID)
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe"])
def test_body_that_is_no_request_is_refused(
    open_servers: dict[type[ProviderServer], ProviderServer], kind: type[ProviderServer], data: bytes
) -> None:
    assert post(open_servers[kind], data).status_code == 400


def test_sampling_parameters_ended_with_a_version(open_servers: dict[type[ProviderServer], ProviderServer]) -> None:
    body = {**anthropic_body(), "temperature": 0.5}
    server = open_servers[AnthropicServer]
    assert post(server, body).status_code == 200
    answer = post(server, body, {"anthropic-version": "2026-10-21"})
    assert answer.status_code == 400
    assert "temperature: Extra inputs" in answer.text


def test_consecutive_user_turns_are_taken_where_the_service_merges_them(
    open_servers: dict[type[ProviderServer], ProviderServer],
) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert post(open_servers[AnthropicServer], {**anthropic_body(), "messages": turns}).status_code == 200
    assert post(open_servers[OpenAIServer], {**openai_body(), "messages": turns}).status_code == 200


# --- limits of size and number ---


def openai_images(count: int) -> Body:
    return change(openai_body(), "messages", 1, "content", to=[openai_body()["messages"][1]["content"][1]] * count)


def anthropic_images(count: int, data: str = RED) -> Body:
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    return change(anthropic_body(), "messages", 0, "content", to=[block] * count)


def gemini_images(count: int) -> Body:
    return change(gemini_body(), "contents", 0, "parts", to=[gemini_body()["contents"][0]["parts"][1]] * count)


def test_number_of_images() -> None:
    with OpenAIServer() as a, AnthropicServer() as b, GeminiServer() as c:
        assert post(a, openai_images(500)).status_code == 200
        assert "Max is 500" in post(a, openai_images(501)).text
        assert post(b, anthropic_images(100)).status_code == 200
        assert "101 + 0 > 100" in post(b, anthropic_images(101)).text
        assert post(b, {**anthropic_images(101), "model": "claude-opus-5"}).status_code == 200
        assert post(c, gemini_images(3600)).status_code == 200
        assert "3600 images" in post(c, gemini_images(3601)).text


def test_side_of_an_image_depends_on_how_many_there_are() -> None:
    wide, wider = encoded(picture((2001, 10))), encoded(picture((8001, 10)))
    with AnthropicServer() as server:
        assert post(server, anthropic_images(20, wide)).status_code == 200
        assert "many-image requests: 2000" in post(server, anthropic_images(21, wide)).text
        assert "8000 pixels" in post(server, anthropic_images(1, wider)).text


@pytest.mark.slow
def test_bytes_of_an_image() -> None:
    noise = PILImage.frombytes("RGB", (1300, 1300), random.Random(1).randbytes(1300 * 1300 * 3))
    file = io.BytesIO()
    noise.save(file, "PNG", compress_level=1)
    with AnthropicServer() as server:
        answer = post(server, anthropic_images(1, encoded(file.getvalue())))
    assert "image exceeds 5 MB maximum" in answer.text


def test_bytes_of_a_request() -> None:
    with (
        OpenAIServer(limits=openai_chat.Limits(request_bytes=100)) as a,
        AnthropicServer(limits=anthropic_messages.Limits(request_bytes=100)) as b,
        GeminiServer(limits=gemini_content.Limits(request_bytes=100)) as c,
    ):
        assert post(a, openai_body()).status_code == 413
        assert post(b, anthropic_body()).json()["error"]["type"] == "request_too_large"
        assert "payload size exceeds" in post(c, gemini_body()).text
    assert openai_chat.Limits().request_bytes == 50 * 2**20
    assert anthropic_messages.Limits().request_bytes == 32 * 2**20
    assert gemini_content.Limits().request_bytes == 20 * 2**20


@every_provider
def test_prompt_beyond_the_window_is_refused_as_too_long(provider: str) -> None:
    kind, ask = PROVIDERS[provider]
    expected = {"openai": "context_length_exceeded", "anthropic": "prompt is too long", "gemini": "input token count"}
    too_long = (openai.BadRequestError, anthropic.BadRequestError, genai_errors.ClientError)
    with kind(context_tokens=10) as server, pytest.raises(too_long) as error:
        ask(server)
    assert expected[provider] in f"{error.value} {getattr(error.value, 'code', '')}"


# --- caches ---


def test_openai_caches_the_longest_prefix_by_itself() -> None:
    long = {"role": "system", "content": "x" * 8000}
    with OpenAIServer() as server:

        def cached(*messages: str) -> int:
            turns: list[Any] = [{"role": "user", "content": text} for text in messages]
            return int(ask_openai(server, messages=[long, *turns]).usage.prompt_tokens_details.cached_tokens)

        assert cached("one") == 0
        first = cached("one", "two")
        assert first >= 1920
        assert first % 128 == 0
        assert cached("three", "two") == first, "the system message alone is shared"
        assert ask_openai(server, model="gpt-4.1").usage.prompt_tokens_details.cached_tokens == 0


def test_gemini_caches_the_longest_prefix_by_itself() -> None:
    config = genai_types.GenerateContentConfig(system_instruction="x" * 8000)
    with GeminiServer() as server:
        assert ask_gemini(server, config=config).usage_metadata.cached_content_token_count is None
        assert ask_gemini(server, config=config).usage_metadata.cached_content_token_count >= 2000


def test_anthropic_caches_up_to_marks_only() -> None:
    def block(text: str, mark: bool = False) -> Body:
        return {"type": "text", "text": text, **({"cache_control": {"type": "ephemeral"}} if mark else {})}

    with AnthropicServer() as server:

        def usage(system: list[Body], *user: Body) -> tuple[int, int, int]:
            used = ask_anthropic(server, system=system, messages=[{"role": "user", "content": list(user)}]).usage
            return used.input_tokens, used.cache_creation_input_tokens, used.cache_read_input_tokens

        rules = block("r" * 8000, mark=True)
        assert usage([block("r" * 8000)], block("a")) == (2001, 0, 0), "without a mark nothing is written"
        assert usage([rules], block("a")) == (1, 2000, 0)
        assert usage([rules], block("b")) == (1, 0, 2000)
        assert usage([rules], block("a"), block("c" * 4000, mark=True)) == (0, 1001, 2000)
        assert usage([rules], block("a"), block("c" * 4000), block("d", mark=True)) == (0, 1, 3001)
        assert usage([block("R" * 8000, mark=True)], block("a")) == (1, 2000, 0), "another prefix is another entry"
        short = block("s" * 400, mark=True)
        assert usage([short], block("a")) == (101, 0, 0), "too short to be cached"


def test_anthropic_looks_back_twenty_blocks() -> None:
    def user(count: int) -> list[Body]:
        texts = [{"type": "text", "text": f"{n}" * 4000} for n in range(count)]
        return [{"role": "user", "content": [*texts[:-1], {**texts[-1], "cache_control": {"type": "ephemeral"}}]}]

    with AnthropicServer() as server:
        ask_anthropic(server, system="a", messages=user(2))
        near = ask_anthropic(server, system="a", messages=user(10)).usage
        far = ask_anthropic(server, system="a", messages=user(40)).usage
    assert near.cache_read_input_tokens == 2001, "the system prompt and the two blocks"
    assert far.cache_read_input_tokens == 0, "no entry within reach"


# --- failures ---

FAILURES: list[tuple[str, Any, type[Exception], type[Exception], int]] = [
    ("unauthorized", "", openai.AuthenticationError, anthropic.AuthenticationError, 400),
    ("forbidden", "", openai.PermissionDeniedError, anthropic.PermissionDeniedError, 403),
    ("unknown-model", "", openai.NotFoundError, anthropic.NotFoundError, 404),
    ("rate-limit", "7", openai.RateLimitError, anthropic.RateLimitError, 429),
    ("quota", "", openai.RateLimitError, anthropic.BadRequestError, 429),
    ("server-error", "", openai.InternalServerError, anthropic.InternalServerError, 500),
    ("bad-gateway", "", openai.InternalServerError, anthropic.InternalServerError, 502),
    ("unavailable", "", openai.InternalServerError, anthropic.InternalServerError, 503),
    ("overloaded", "", openai.InternalServerError, anthropic.APIStatusError, 503),
    ("context", "", openai.BadRequestError, anthropic.BadRequestError, 400),
    ("policy", "", openai.BadRequestError, anthropic.BadRequestError, 200),
    ("too-large", "", openai.APIStatusError, anthropic.APIStatusError, 400),
]


@pytest.mark.parametrize(("kind", "wait", "one", "two", "status"), FAILURES, ids=[row[0] for row in FAILURES])
def test_failure_is_the_error_that_the_sdk_knows(
    kind: Any, wait: str, one: type[Exception], two: type[Exception], status: int
) -> None:
    script = [Failure(kind, wait), "fine"]
    with OpenAIServer(script) as a, AnthropicServer(script) as b, GeminiServer(script) as c:
        with pytest.raises(one) as first:
            ask_openai(a)
        with pytest.raises(two) as second:
            ask_anthropic(b)
        third = post(c, gemini_body())
        for server, ask in ((a, ask_openai), (b, ask_anthropic), (c, ask_gemini)):
            ask(server)
            assert len(server.requests) == 2
    assert third.status_code == status
    for response in (first.value.response, second.value.response, third):  # type: ignore[attr-defined]
        assert response.headers.get("retry-after", "") == wait
    if kind == "overloaded":
        assert second.value.status_code == 529  # type: ignore[attr-defined]


TOO_LATE = (openai.APITimeoutError, anthropic.APITimeoutError, httpx.TimeoutException, httpx2.TimeoutException)
NO_CONNECTION = (openai.APIConnectionError, anthropic.APIConnectionError, httpx.TransportError, httpx2.TransportError)


@every_provider
def test_answer_that_does_not_come_in_time(provider: str) -> None:
    kind, ask = PROVIDERS[provider]
    with kind([Trouble("hang"), Trouble("slow", seconds=0.6), Trouble("slow", seconds=0.01)]) as server:
        for _ in range(2):
            with pytest.raises(TOO_LATE):
                ask(server, timeout=0.2)
        ask(server)


@every_provider
def test_connection_that_is_cut(provider: str) -> None:
    kind, ask = PROVIDERS[provider]
    with kind([Trouble("cut")]) as server, pytest.raises(NO_CONNECTION):
        ask(server)


@pytest.mark.parametrize("kind", VALID)
def test_bodies_that_are_no_answer(kind: type[ProviderServer]) -> None:
    steps = [Trouble("invalid-json"), Trouble("html"), Trouble("empty"), Trouble("huge", size=3 * 2**20)]
    with kind(steps) as server:
        broken, page, empty, huge = (post(server, VALID[kind]) for _ in steps)
    with pytest.raises(ValueError, match=r".+"):
        broken.json()
    assert page.headers["content-type"].startswith("text/html")
    assert not any(empty.json().get(name) for name in ("choices", "candidates", "content"))
    assert len(huge.content) > 3 * 2**20


def test_redirect_leads_to_somebody_else() -> None:
    with Bystander() as other, OpenAIServer([Trouble("redirect", to=other.host)]) as server:
        assert ask_openai(server).choices is None, "the other server's answer is no completion"
        [followed] = other.requests
    assert followed.path == "/v1/chat/completions"
    assert not followed.carries(server.key), "httpx drops this header at another host"


@every_provider
def test_self_signed_certificate_is_not_trusted(provider: str) -> None:
    kind, ask = PROVIDERS[provider]
    with kind(tls=True) as server:
        with pytest.raises(NO_CONNECTION):
            ask(server)
        assert not server.requests, "the key stays at home"
        assert httpx.get(server.host, verify=False).status_code >= 400, "whoever trusts it is answered"


# --- the script ---


def test_script_may_look_at_the_request() -> None:
    def count(request: Any) -> str:
        return f"{len(request.images)} images"

    with OpenAIServer(count) as server:
        assert ask_openai(server).choices[0].message.content == "1 images"


def test_script_that_is_at_its_end_is_told() -> None:
    with OpenAIServer(["one"]) as server:
        ask_openai(server)
        with pytest.raises(openai.InternalServerError, match="no further step"):
            ask_openai(server)


def test_refused_request_uses_no_step_of_the_script() -> None:
    with OpenAIServer(["one"]) as server:
        with pytest.raises(openai.NotFoundError):
            ask_openai(server, model="gpt-9")
        assert ask_openai(server).choices[0].message.content == "one"


def test_fault_of_the_script_is_not_swallowed() -> None:
    broken = OpenAIServer(lambda request: str(1 // 0))
    told = pytest.raises(openai.InternalServerError, match="ZeroDivisionError")
    with pytest.raises(ZeroDivisionError), broken as server, told:
        ask_openai(server)


def test_port_is_free_again_afterwards() -> None:
    with OpenAIServer() as server:
        port = int(server.host.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


# --- the image API ---


def images(server: ProviderServer) -> Any:
    return openai.OpenAI(api_key=server.key, base_url=server.url, max_retries=0).images


def opened(item: Any) -> PILImage.Image:
    return PILImage.open(io.BytesIO(base64.b64decode(item.b64_json)))


def test_image_is_drawn_as_the_prompt_says() -> None:
    with OpenAIServer(Drawing()) as server:
        api = images(server)
        one = api.generate(model="dall-e-3", prompt="a dog", size="1792x1024", response_format="b64_json")
        two = api.generate(model="gpt-image-1", prompt="a cat", size="1024x1536", quality="low", background="opaque")
    assert opened(one.data[0]).size == (1792, 1024)
    assert one.data[0].revised_prompt
    assert one.usage is None
    assert opened(two.data[0]).size == (1024, 1536)
    assert two.data[0].revised_prompt is None
    assert (two.usage.output_tokens, two.quality) == (272, "low")
    assert opened(one.data[0]).getpixel((0, 0)) != opened(two.data[0]).getpixel((0, 0))


def test_image_is_edited() -> None:
    with OpenAIServer(Drawing()) as server:
        edited = images(server).edit(
            model="gpt-image-1", prompt="make it blue", image=("a.png", picture((64, 64)), "image/png")
        )
    assert edited.usage.input_tokens_details.image_tokens == 323
    assert server.requests[0].images[0].size == (64, 64)
    colours = {c for _, c in opened(edited.data[0]).getcolors()}
    assert (255, 0, 0) in colours, "the rest of the picture is kept"


GENERATIONS: dict[str, tuple[Body, str]] = {
    "no model": ({"model": None}, "named"),
    "unknown model": ({"model": "dall-e-9"}, "Invalid value: 'dall-e-9'"),
    "empty prompt": ({"prompt": " "}, "empty string"),
    "long prompt": ({"prompt": "x" * 4001}, "string too long"),
    "two images": ({"n": 2}, "n=1"),
    "size": ({"size": "512x512"}, "Supported values are: '1024x1024', '1792x1024', '1024x1792'"),
    "quality": ({"quality": "high"}, "'standard', 'hd'"),
    "background": ({"background": "opaque"}, "Unknown parameter: 'background'"),
    "format of the others": ({"output_format": "png"}, "Unknown parameter"),
    "response format of gpt-image": ({"model": "gpt-image-1", "response_format": "b64_json"}, "'response_format'"),
    "style of gpt-image": ({"model": "gpt-image-1", "style": "vivid"}, "'style'"),
    "size of gpt-image": ({"model": "gpt-image-1", "size": "1792x1024"}, "1536x1024"),
    "odd size of gpt-image-2": ({"model": "gpt-image-2", "size": "1000x1001"}, "Invalid value"),
    "seed": ({"extra_body": {"seed": 1}}, "Unknown parameter: 'seed'"),
}


@pytest.mark.parametrize(("changes", "expected"), GENERATIONS.values(), ids=GENERATIONS)
def test_image_request_is_refused(changes: Body, expected: str) -> None:
    with OpenAIServer(Drawing()) as server, pytest.raises(openai.BadRequestError) as error:
        images(server).generate(**{"model": "dall-e-3", "prompt": "a dog", **changes})
    assert expected in f"{error.value} {error.value.code}".replace("\\'", "'")


EDITS: dict[str, tuple[Body, str]] = {
    "no image that can be read": ({"image": ("a.png", b"nothing", "image/png")}, "Invalid image file"),
    "undeclared": ({"image": ("a", picture(), "application/octet-stream")}, "unsupported_file_mimetype"),
    "wrong type": ({"image": ("a.png", picture(kind="JPEG"), "image/png")}, "declared"),
    "model that cannot": ({"model": "dall-e-3"}, "does not edit"),
    "dall-e-2 wants transparency": ({"model": "dall-e-2"}, "alpha channel"),
    "too many": ({"image": [("a.png", picture(), "image/png")] * 17}, "1 to 16"),
    "response format": ({"response_format": "b64_json"}, "response_format"),
    "seed": ({"extra_body": {"seed": "1"}}, "Unknown parameter: 'seed'"),
}


@pytest.mark.parametrize(("changes", "expected"), EDITS.values(), ids=EDITS)
def test_edit_is_refused(changes: Body, expected: str) -> None:
    file = ("a.png", picture(), "image/png")
    with OpenAIServer(Drawing()) as server, pytest.raises(openai.BadRequestError) as error:
        images(server).edit(**{"model": "gpt-image-1", "prompt": "blue", "image": file, **changes})
    assert expected in f"{error.value} {error.value.code}".replace("\\'", "'")


def test_image_of_a_forbidden_prompt() -> None:
    with OpenAIServer(Failure("policy")) as server:
        for model, code in (("dall-e-3", "content_policy_violation"), ("gpt-image-1", "moderation_blocked")):
            with pytest.raises(openai.BadRequestError) as error:
                images(server).generate(model=model, prompt="something")
            assert error.value.code == code


def test_dalle_sends_an_address_unless_asked_for_bytes() -> None:
    with OpenAIServer(Drawing()) as server:
        [item] = images(server).generate(model="dall-e-3", prompt="a dog").data
    assert item.url
    assert item.b64_json is None
