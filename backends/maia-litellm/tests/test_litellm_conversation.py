"""What is sent and what comes back: images within limits, roles, stop reasons, reasoning, tokens and money."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from servers import Answer, AnthropicServer, Bystander, GeminiServer, OpenAIServer, ProviderServer, Received

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.testing import FakeDescriber, disc
from maia_core.types import CallLimits, Message
from maia_litellm.backbone import LitellmBackbone

Service = tuple[type[ProviderServer], str]
Connect = Callable[..., Any]

LIMITS = CallLimits(seconds=30, seed=7)
SYSTEM, TASK = Message.of("system", "You explain units."), Message.of("user", "What is it?", disc("red", size=64))


def noise(side: int, seed: int = 0) -> Image:
    return Image.from_pixels(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def texts(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)


# Images.


def test_images_are_brought_within_the_size_that_providers_take(service: Service, connect: Connect) -> None:
    make, model = service
    with make("seen") as server:
        images = [Image.from_pixels(np.full((60, 6000, 3), 99, np.uint8)), disc("blue", size=1)]
        connect(server, model, own=True).complete([SYSTEM, Message.of("user", "Look:", *images)], LIMITS)
    [request] = server.requests
    assert len(request.images) == 2
    assert max(max(image.size) for image in request.images) <= 3072
    assert "made smaller, from 6000 x 60" in texts(request.body)


@pytest.mark.slow
def test_images_are_brought_within_the_bytes_that_providers_take(connect: Connect) -> None:
    with AnthropicServer("seen") as server:  # 5 MB an image.
        backbone = connect(server, "anthropic/claude-haiku-4-5", own=True)
        backbone.complete([SYSTEM, Message.of("user", noise(1500))], LIMITS)
        assert "compressed to" in texts(server.requests[0].body)
    with GeminiServer("seen") as server:  # 20 MB a request.
        backbone = connect(server, "gemini/gemini-2.5-flash", own=True)
        backbone.complete([SYSTEM, Message.of("user", *(noise(800, n) for n in range(9)))], LIMITS)
        assert len(server.requests[0].images) == 9


def test_more_images_than_a_provider_takes_are_tiled_and_said_to_be(connect: Connect) -> None:
    images = [disc("red", n).retitled(f"image {n}") for n in range(101)]
    with AnthropicServer("seen") as server:
        backbone = connect(server, "anthropic/claude-haiku-4-5", own=True, max_side=128)
        assert backbone.info.max_images == 1600
        backbone.complete([SYSTEM, Message.of("user", *images)], LIMITS)
    [request] = server.requests
    assert request.refused is None
    assert len(request.images) == 26
    assert texts(request.body).count("[this image is tile") == 100, "and the last one is alone"


def test_anthropic_takes_more_images_with_a_wider_window(connect: Connect) -> None:
    images = [disc("red", n) for n in range(101)]
    with AnthropicServer("seen", models=("claude-sonnet-4-6",)) as server:
        connect(server, "anthropic/claude-sonnet-4-6", own=True).complete([SYSTEM, Message.of("user", *images)], LIMITS)
    assert len(server.requests[0].images) == 101


def test_limits_of_ones_own_hold(connect: Connect) -> None:
    with OpenAIServer("seen") as server:
        backbone = connect(server, "openai/gpt-4o", max_images=2, max_side=64, detail="low", context_tokens=9000)
        assert (backbone.info.max_images, backbone.info.context_tokens) == (32, 9000)
        backbone.complete([SYSTEM, Message.of("user", *(disc("red", n, 100) for n in range(3)))], LIMITS)
    assert [image.size for image in server.requests[0].images] == [(64, 64)]
    assert '"detail": "low"' in texts(server.requests[0].body)


def test_masks_and_titles_are_sent_as_they_are_shown(service: Service, connect: Connect) -> None:
    make, model = service
    clean = disc("red", size=48)
    masked = clean.masked(clean.pixels()[:, :, 0] > 200)
    with make("seen") as server:
        connect(server, model).complete([SYSTEM, Message.of("user", masked)], LIMITS)
    sent = np.asarray(server.requests[0].images[0].image.convert("RGB"))
    assert (sent == masked.pixels()).all()


def test_model_without_eyes_gets_descriptions_and_the_record_says_so(connect: Connect) -> None:
    notes: list[str] = []
    context = Context(parts={"describer": FakeDescriber()})
    context.warn_to(notes.append)
    with OpenAIServer("read", models=("gpt-3.5-turbo",)) as server:
        backbone = connect(server, "openai/gpt-3.5-turbo", own=True, context=context)
        assert not backbone.info.images
        backbone.complete([SYSTEM, TASK], LIMITS)
    assert server.requests[0].images == []
    assert "a describer says" in texts(server.requests[0].body)
    assert len(notes) == 1
    assert "sees no images" in notes[0]


# Roles and texts.


def test_text_alone_is_sent_as_text(connect: Connect) -> None:
    """Small servers do not know lists of parts."""
    with OpenAIServer("yes") as server:
        connect(server, "openai/gpt-4o").complete([SYSTEM, Message.of("user", "one", "two")], LIMITS)
    assert server.requests[0].body["messages"][1] == {"role": "user", "content": "one\ntwo"}


def test_empty_and_blank_texts_reach_every_provider(service: Service, connect: Connect) -> None:
    make, model = service
    messages = [SYSTEM, TASK, Message.of("assistant", ""), Message.of("user", " ", disc("red"), "\n")]
    messages += [Message.of("assistant", " \n"), Message.of("user", "")]
    with make("fine") as server:
        assert connect(server, model).complete(messages, LIMITS).text == "fine"
    assert texts(server.requests[0].body).count("(no text)") == 3


def test_model_without_a_system_role_is_told_before_the_task(service: Service, connect: Connect) -> None:
    make, model = service
    with make("fine") as server:
        backbone = connect(server, model, system_role=False)
        assert not backbone.info.system_role
        backbone.complete([SYSTEM, TASK, Message.of("assistant", "a"), Message.of("user", "b")], LIMITS)
    body = server.requests[0].body
    assert "system" not in body
    assert "system_instruction" not in body
    first = (body.get("messages") or body["contents"])[0]
    assert first["role"] == "user"
    assert "You explain units." in texts(first)


def test_table_says_which_models_have_no_system_role(connect: Connect) -> None:
    with GeminiServer(models=("gemma-3-27b-it",)) as server:
        assert not connect(server, "gemini/gemma-3-27b-it", own=True).info.system_role


@pytest.mark.parametrize(
    ("model", "own", "field", "tokens"),
    [
        ("gpt-4o", True, "max_completion_tokens", 500),
        ("gpt-4o", False, "max_tokens", 500),
        # A model that reasons gets room for that beyond the reply.
        ("gpt-5", True, "max_completion_tokens", 500 + 8192),
        ("gpt-99", True, "max_completion_tokens", 500 + 8192),
    ],
)
def test_length_and_seed_are_asked_for(connect: Connect, model: str, own: bool, field: str, tokens: int) -> None:
    """OpenAI's newer models refuse the older name of the length, other servers do not know the newer one."""
    with OpenAIServer("fine", models=(model,)) as server:
        backbone = connect(server, f"openai/{model}", own=own)
        backbone.complete([SYSTEM, TASK], CallLimits(max_output_tokens=500, seed=11))
    assert server.requests[0].body["seed"] == 11
    assert server.requests[0].body[field] == tokens


def test_reasoning_effort_fits_the_rules_of_each_provider(connect: Connect) -> None:
    with AnthropicServer("fine") as server:
        connect(server, "anthropic/claude-haiku-4-5", own=True, reasoning_effort="low").complete([SYSTEM, TASK], LIMITS)
        assert server.requests[0].body["thinking"]["budget_tokens"] >= 1024
    with OpenAIServer("fine") as server:
        connect(server, "openai/gpt-5", own=True, reasoning_effort="low").complete([SYSTEM, TASK], LIMITS)
        assert server.requests[0].body["reasoning_effort"] == "low"
    with GeminiServer("fine") as server:
        connect(server, "gemini/gemini-2.5-flash", own=True, reasoning_effort="low").complete([SYSTEM, TASK], LIMITS)
        assert "thinking" in texts(server.requests[0].body).lower()


def test_further_parameters_are_passed_on(connect: Connect) -> None:
    with OpenAIServer("fine") as server:
        params = {"top_p": 0.5, "extra_headers": {"X-Team": "interpretability"}}
        connect(server, "openai/gpt-4o", temperature=0.25, params=params).complete([SYSTEM, TASK], LIMITS)
    [request] = server.requests
    assert (request.body["top_p"], request.body["temperature"]) == (0.5, 0.25)
    assert request.headers["x-team"] == "interpretability"


# What comes back.


@pytest.mark.parametrize(
    ("answer", "stop"),
    [
        (Answer("It is red."), "end"),
        (Answer("It is", stop="length"), "length"),
        (Answer(None, stop="refusal"), "refusal"),
        (Answer("It is red.", stop="tool"), "end"),
    ],
    ids=["end", "length", "refusal", "tool"],
)
def test_reply_says_why_it_stopped(service: Service, connect: Connect, answer: Answer, stop: str) -> None:
    make, model = service
    with make(answer) as server:
        reply = connect(server, model).complete([SYSTEM, TASK], LIMITS)
    assert (reply.text, reply.stop) == (answer.text or "", stop)


def test_words_of_a_refusal_are_kept(connect: Connect) -> None:
    with OpenAIServer(Answer("I will not look at that.", stop="refusal")) as server:
        reply = connect(server, "openai/gpt-4o").complete([SYSTEM, TASK], LIMITS)
    assert (reply.text, reply.stop) == ("I will not look at that.", "refusal")


def test_reasoning_is_kept_apart_and_counted(service: Service, connect: Connect) -> None:
    make, model = service
    with make(Answer("Red.", reasoning="The picture is mostly red, is it not? " * 5)) as server:
        reply = connect(server, model).complete([SYSTEM, TASK], LIMITS)
    assert reply.text == "Red."
    assert "mostly red" in reply.reasoning
    assert reply.usage.output_tokens > 40


PRICES = {  # US dollars a token: input, output, cached input, input that is written to a cache.
    "openai": (2.5e-6, 1e-5, 1.25e-6, 0),
    "anthropic": (1e-6, 5e-6, 1e-7, 1.25e-6),
    "gemini": (3e-7, 2.5e-6, 3e-8, 0),
}


def test_tokens_and_money_are_those_of_the_provider(service: Service, connect: Connect) -> None:
    make, model = service
    read, wrote, cached, written = PRICES[model.partition("/")[0]]
    messages = [Message.of("system", "word " * 4000), TASK]
    with make("It is red.") as server:
        backbone = connect(server, model, own=True)
        first = backbone.complete(messages, LIMITS).usage
        again = backbone.complete(messages, LIMITS).usage
    assert first.input_tokens == again.input_tokens > 4000
    assert first.cached_tokens == 0
    assert again.cached_tokens > 4000
    marked = first.input_tokens if written else 0
    expected = marked * written + (first.input_tokens - marked) * read + first.output_tokens * wrote
    assert first.cost == pytest.approx(expected)
    rest = again.input_tokens - again.cached_tokens
    assert again.cost == pytest.approx(rest * read + again.cached_tokens * cached + again.output_tokens * wrote)
    assert first.unpriced_tokens == again.unpriced_tokens == 0


def test_price_at_somebody_elses_server_is_unknown_and_not_nothing(service: Service, connect: Connect) -> None:
    make, model = service
    with make("It is red.") as server:
        usage = connect(server, model).complete([SYSTEM, TASK], LIMITS).usage
    assert usage.cost == 0
    assert usage.unpriced_tokens == usage.tokens > 0
    assert usage.price == "unknown"


def test_unknown_model_of_a_provider_has_no_price(connect: Connect) -> None:
    with OpenAIServer("It is red.", models=("gpt-4-next",)) as server:
        usage = connect(server, "openai/gpt-4-next", own=True).complete([SYSTEM, TASK], LIMITS).usage
    assert usage.unpriced_tokens == usage.tokens > 0


# Servers that the strict ones do not stand for.


class Somebody(Bystander):
    """Answers as an OpenAI-compatible server, or as Ollama."""

    def __init__(self) -> None:
        super().__init__()
        self.key = "key-of-somebody"

    def reply(self, request: Received, step: Any) -> dict[str, Any]:
        request.body = json.loads(request.raw)
        counts = {"prompt_tokens": 120, "completion_tokens": 7, "total_tokens": 127, "cost": 0.00042}
        message = {"role": "assistant", "content": "An answer."}
        if request.path.endswith("/responses"):
            return responses_reply(request)
        if request.path == "/api/chat":
            ended = {"done": True, "done_reason": "stop", "prompt_eval_count": 120, "eval_count": 7}
            return {"model": "llava", "created_at": "2026-01-01T00:00:00Z", "message": message, **ended}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": request.body["model"]}
        return {**body, "choices": [choice], "usage": counts}


def responses_reply(request: Received) -> dict[str, Any]:
    part = {"type": "output_text", "text": "An answer.", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    details = {"input_tokens_details": {"cached_tokens": 20}, "output_tokens_details": {"reasoning_tokens": 3}}
    usage = {"input_tokens": 120, "output_tokens": 7, "total_tokens": 127, **details}
    body = {"id": "r", "object": "response", "created_at": 1, "model": "gpt-5-pro", "status": "completed"}
    common = {"error": None, "incomplete_details": None, "instructions": None, "tools": [], "parallel_tool_calls": True}
    return {**body, **common, "tool_choice": "auto", "metadata": {}, "output": [message], "usage": usage}


MIXED = [SYSTEM, Message.of("user", "first", disc("red"), "second", disc("blue"), "third")]


def test_ollama_gets_its_window_and_is_told_where_images_belong() -> None:
    """It takes pictures beside the text, not in it, and its own window would silently cut the task off."""
    with Somebody() as server:
        config = LitellmBackbone.Config(model="ollama/llava", api_base=server.url, max_images=60)
        backbone = LitellmBackbone(config, Context())
        assert backbone.info.context_tokens == 16_384
        reply = backbone.complete(MIXED, LIMITS)
    [request] = server.requests
    assert request.path == "/api/chat"
    assert request.body["options"]["num_ctx"] == 16_384
    user = request.body["messages"][1]
    assert len(user["images"]) == 2
    order = ["first", "[image 1 of this message]", "second", "[image 2 of this message]", "third"]
    assert user["content"] == "\n".join(order)
    assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("An answer.", 120, 7)
    assert reply.usage.unpriced_tokens == 127


def test_ollama_model_of_the_table_costs_nothing() -> None:
    with Somebody() as server:
        config = LitellmBackbone.Config(model="ollama/llama3", api_base=server.url, images=True)
        usage = LitellmBackbone(config, Context()).complete(MIXED, LIMITS).usage
    assert (usage.cost, usage.unpriced_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("vllm/Qwen/Qwen2.5-VL-7B-Instruct", "/v1/chat/completions"),
        ("openai/anything", "/v1/chat/completions"),
        ("openrouter/qwen/qwen-vl-max", "/v1/chat/completions"),
        ("mistral/pixtral-12b", "/v1/chat/completions"),
        ("xai/grok-4", "/v1/chat/completions"),
        ("azure/my-deployment", "/v1/openai/deployments/my-deployment/chat/completions"),
    ],
)
def test_other_servers_are_asked_as_they_want_it(model: str, path: str) -> None:
    with Somebody() as server:
        config = LitellmBackbone.Config(model=model, api_base=f"{server.url}/v1", max_images=60)
        reply = LitellmBackbone(config, Context()).complete(MIXED, LIMITS)
    [request] = server.requests
    assert request.path == path
    assert reply.text == "An answer."
    content = request.body["messages"][1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text", "image_url", "text"]
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_azure_version_can_be_set() -> None:
    with Somebody() as server:
        config = LitellmBackbone.Config(model="azure/mine", api_base=server.url, params={"api_version": "2024-06-01"})
        LitellmBackbone(config, Context()).complete(MIXED, LIMITS)
    assert server.requests[0].query == "api-version=2024-06-01"


def test_openrouter_says_what_it_charged(connect: Connect) -> None:
    with Somebody() as server:
        usage = connect(server, "openrouter/qwen/qwen-vl-max", own=True).complete(MIXED, LIMITS).usage
    assert usage.cost == pytest.approx(0.00042)
    assert usage.unpriced_tokens == 0


def test_openrouter_passes_marks_on_to_claude(connect: Connect) -> None:
    with Somebody() as server:
        connect(server, "openrouter/anthropic/claude-sonnet-4.5", own=True).complete(MIXED, LIMITS)
    assert texts(server.requests[0].body).count("cache_control") == 2


def test_models_of_the_responses_api_are_asked_through_the_same_wire(connect: Connect) -> None:
    pytest.importorskip("mcp")
    with Somebody() as server:
        backbone = connect(server, "openai/gpt-5-pro", own=True, api_base=f"{server.url}/v1")
        reply = backbone.complete(MIXED, LIMITS)
    [request] = server.requests
    assert request.path == "/v1/responses"
    assert request.headers["authorization"] == f"Bearer {server.key}"
    assert texts(request.body).count("data:image/png;base64,") == 2
    assert (reply.text, reply.stop) == ("An answer.", "end")
    assert (reply.usage.input_tokens, reply.usage.cached_tokens, reply.usage.output_tokens) == (120, 20, 7)
    assert reply.usage.cost > 0


def test_models_of_the_responses_api_say_what_they_need(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with Somebody() as server, pytest.raises(UsageError, match=r"pip install mcp.*backbone\.model"):
        connect(server, "openai/gpt-5-pro", own=True)
