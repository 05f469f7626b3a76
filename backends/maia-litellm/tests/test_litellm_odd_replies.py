"""Odd responses of gateways and small servers: MAIA reads what it can, retries what may pass, and names the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from servers.base import Bystander, Received, Response

from maia_core.agent import run
from maia_core.config import RunConfig, validated
from maia_core.context import Context
from maia_core.errors import BackboneBusy, BackboneError, ContextTooLong
from maia_core.journal import Journal
from maia_core.registry import installed
from maia_core.replies import parse_reply
from maia_core.session import make_session
from maia_core.testing.fakes import fake_parts
from maia_core.types import CallLimits, Message
from maia_litellm.completion import documented
from maia_litellm.failures import Refused

MESSAGES = [Message.of("system", "You explain units."), Message.of("user", "What is it?")]
PROGRAM = "def run_experiment(system, tools):\n    print(2)"
EXPERIMENT = "```python\ndef run_experiment(system, tools):\n    return system.neuron(tools.text2image(['red']))\n```"
ANSWER = "[DESCRIPTION]: Red discs activate the unit.\n[LABEL]: red"


class Gateway(Bystander):
    """Sends bodies as they are, one after the other, the last one again and again."""

    def __init__(self, *bodies: Any, status: int = 200, content_type: str = "application/json") -> None:
        super().__init__()
        self.key = "local-key-0123456789"
        self._left = list(bodies)
        self._status = status
        self._type = content_type

    def respond(self, request: Received) -> Response:
        """Sends the next body; a function is asked what to send."""
        request.body = json.loads(request.raw or b"{}")
        self.requests.append(request)
        body = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        if callable(body):
            status, body = body(request.body)
            return Response(status, json.dumps(body).encode())
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return Response(self._status, data, content_type=self._type)


def chat(content: Any = "hello", reason: Any = "stop", **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content} | message
    choice = {"index": 0, "finish_reason": reason, "message": message}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def chunk(content: str = "", reason: str | None = None, **beside: Any) -> str:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
    return "data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [choice]} | beside)


@pytest.fixture
def ask(connect: Callable[..., Any]) -> Callable[..., Any]:
    def make(body: Any, model: str = "openai/my-model", **server: Any) -> Any:
        options = server.pop("options", {})
        with Gateway(*(body if isinstance(body, list) else [body]), **server) as gateway:
            base = f"{gateway.host}/v1"
            backbone = connect(gateway, model, api_base=base, **options)
            reply = backbone.complete(MESSAGES, CallLimits(max_output_tokens=4000, seconds=20, seed=1))
            return reply, [request.body for request in gateway.requests]

    return make


STREAM = "\n\n".join(
    [": PROCESSING", chunk("hel"), chunk("lo"), chunk("", "stop", usage={"prompt_tokens": 7}), "data: [DONE]", ""]
)
TEXTS: dict[str, tuple[Any, str, str]] = {
    "one text part": (chat([{"type": "text", "text": "hello"}]), "hello", ""),
    "texts of a list": (chat(["hel", {"type": "output_text", "text": "lo"}]), "hello", ""),
    "one part without a list": (chat({"type": "text", "text": "hello"}), "hello", ""),
    "a text with a value": (chat([{"type": "text", "text": {"value": "hello"}}]), "hello", ""),
    "a thought and a text": (
        chat([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hello"}]),
        "hello",
        "hm",
    ),
    "a reasoning part": (chat([{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "hello"}]), "hello", "hm"),
    "a field of another name": (chat("hello", reasoning="hm"), "hello", "hm"),
    "a thought that only closes": (chat("hm</think>hello"), "hello", "hm"),
    "remains of a template": (chat("<|im_start|>assistant\nhello<|im_end|>\n<|im_start|>user\nand?"), "hello", ""),
    "one half of a character": (chat("hello \ud83d"), "hello ?", ""),
    "a thought with one half": (chat("hello", reasoning_content="\ud83d"), "hello", "?"),
    "no other fields": ({"choices": [{"message": {"content": "hello"}}]}, "hello", ""),
    "fields of odd types": (
        chat("hello", None) | {"id": 5, "created": "now", "model": None, "usage": {"prompt_tokens": None, "x": [1]}},
        "hello",
        "",
    ),
    "a completion in the old form": ({"choices": [{"text": "hello", "finish_reason": "eos"}]}, "hello", ""),
    "an error that is none": (chat("hello") | {"error": {"code": 0, "message": "success"}}, "hello", ""),
    "a mark at its beginning": ("\ufeff\n\n" + json.dumps(chat("hello")), "hello", ""),
    "a stream": (STREAM, "hello", ""),
    "a stream of one event": (f"{chunk('hello', 'stop')}\n\ndata: [DONE]\n\n", "hello", ""),
    "the end of a stream": (json.dumps(chat("hello")) + "\n\ndata: [DONE]\n\n", "hello", ""),
    "nothing": (chat(None), "", ""),
    "reasoning alone": (chat(None, reasoning_content="hm"), "", "hm"),
}


@pytest.mark.parametrize(("body", "text", "reasoning"), TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("model", ["openai/my-model", "openrouter/vendor/model", "vllm/my-model"])
def test_text_of_a_reply_in_other_forms(
    ask: Callable[..., Any], model: str, body: Any, text: str, reasoning: str
) -> None:
    reply, requests = ask(body, model)
    assert (reply.text, reply.reasoning, reply.stop) == (text, reasoning, "end")
    assert len(requests) == 1


def test_reply_with_the_type_of_a_page_is_read(ask: Callable[..., Any]) -> None:
    assert ask(chat("hello"), content_type="text/plain")[0].text == "hello"


@pytest.mark.parametrize("reason", ["length", "max_output_tokens", "model_length", "MAX_TOKENS"])
def test_reply_that_was_cut_says_so(ask: Callable[..., Any], reason: str) -> None:
    assert ask(chat("hel", reason))[0].stop == "length"


def test_refusals_in_other_forms(ask: Callable[..., Any]) -> None:
    for body in (
        chat(None, refusal="I cannot."),
        chat([{"type": "refusal", "refusal": "I cannot."}]),
        chat("", "content_filter"),
    ):
        assert ask(body)[0].stop == "refusal"


CALLS = {
    "code": {
        "tool_calls": [{"type": "function", "function": {"name": "py", "arguments": json.dumps({"code": PROGRAM})}}]
    },
    "plain": {"tool_calls": [{"function": {"name": "py", "arguments": PROGRAM}}]},
    "object": {"tool_calls": [{"function": {"name": "py", "arguments": {"code": PROGRAM, "timeout": 5}}}]},
    "old form": {"function_call": {"name": "py", "arguments": json.dumps({"code": PROGRAM})}},
    "whole reply": {"tool_calls": [{"function": {"arguments": json.dumps(f"[CODE]:\n```python\n{PROGRAM}\n```")}}]},
}


@pytest.mark.parametrize("message", CALLS.values(), ids=CALLS)
def test_program_in_a_call_of_a_tool_is_the_reply(ask: Callable[..., Any], message: dict[str, Any]) -> None:
    """MAIA offers no tools; models that were trained on them put their program there."""
    reply, _ = ask(chat(None, "tool_calls", **message))
    assert parse_reply(reply.text, ("DESCRIPTION", "LABEL")).program.strip() == PROGRAM


PASSING: dict[str, Any] = {
    "rate limit": {"error": {"message": "slow down", "code": 429}},
    "number as text": {"error": {"message": "slow down", "code": "503"}},
    "no choices": {"choices": [], "usage": None},
    "choices that are null": {"choices": None},
    "an empty choice": {"choices": [{}]},
    "unnamed": {"error": {"message": "upstream"}},
    "a text": {"error": "overloaded"},
    "not wrapped": {"object": "error", "message": "busy", "type": "server_error"},
    "a number without an error": {"code": 502, "message": "upstream"},
    "choice with an error": {"choices": [{"error": {"code": 502, "message": "idle"}, "message": {"content": ""}}]},
    "choice that broke off": chat("half a rep", "error"),
    "no resources": chat("half a rep", "insufficient_system_resource"),
    "stream with an error": f"{chunk('half')}\n\ndata: " + json.dumps({"error": {"code": 503, "message": "gone"}}),
    "stream that was cut": f"{chunk('half')}\n\n{chunk(' a rep')}\n\n",
    "half a document": json.dumps(chat())[:60],
}


@pytest.mark.parametrize("body", PASSING.values(), ids=PASSING)
def test_failure_with_status_200_may_pass(ask: Callable[..., Any], body: Any) -> None:
    with pytest.raises(BackboneBusy):
        ask(body)


@pytest.mark.parametrize("body", ["<html>busy</html>", "busy", {"ok": True}, "", "[]", "null"])
def test_other_response_may_pass_once_the_server_has_replied(connect: Callable[..., Any], body: Any) -> None:
    with Gateway(body, chat("fine"), body, chat("again")) as gateway:
        backbone = connect(gateway, "openai/my-model", api_base=f"{gateway.host}/v1")
        with pytest.raises(BackboneError, match=r"backbone\.api_base") as first:
            backbone.complete(MESSAGES, CallLimits())
        assert not isinstance(first.value, BackboneBusy)  # The address may be wrong.
        assert backbone.complete(MESSAGES, CallLimits()).text == "fine"
        with pytest.raises(BackboneBusy):
            backbone.complete(MESSAGES, CallLimits())
        assert backbone.complete(MESSAGES, CallLimits()).text == "again"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ({"code": 401, "message": "no"}, BackboneError, "rejects the key in TEST_SERVER_KEY|wants a key"),
        ({"code": 402, "message": "no"}, BackboneError, "no money or quota"),
        ({"message": "insufficient_quota"}, BackboneError, "no money or quota"),
        ({"code": 404, "message": "no"}, BackboneError, "no model"),
        ({"code": "model_not_found", "message": "no"}, BackboneError, "no model"),
        ({"message": "This model's maximum context length is 10 tokens"}, ContextTooLong, "too long"),
        ({"code": 400, "message": "maximum context length"}, ContextTooLong, "too long"),
    ],
)
def test_lasting_failure_with_status_200_is_named(
    ask: Callable[..., Any], error: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        ask({"error": error})
    assert type(caught.value) is kind


def test_filter_with_status_200_refuses(ask: Callable[..., Any]) -> None:
    assert ask({"error": {"message": "flagged by the content filter"}})[0].stop == "refusal"
    assert issubclass(Refused, BackboneError)


def refusing(*names: str, form: str = "fastapi") -> Callable[[Any], tuple[int, Any]]:
    """A server that does not know some parameters, and says so in one of the forms that servers use."""

    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        for name in names:
            if name in body:
                detail = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
                return {
                    "fastapi": (422, {"detail": [detail | {"input": 1}]}),
                    "openai": (400, {"error": {"message": f"Unrecognized request argument supplied: {name}"}}),
                    "groq": (400, {"error": {"message": f"property '{name}' is unsupported"}}),
                    "serde": (422, {"error": f"Failed to deserialize: unknown field `{name}`, expected one of `n`"}),
                    "inside": (200, {"error": {"message": f"{name}: unexpected keyword argument", "code": 400}}),
                }[form]
        return 200, chat("hello")

    return reply


@pytest.mark.parametrize("form", ["fastapi", "openai", "groq", "serde", "inside"])
@pytest.mark.parametrize(
    "names", [("seed",), ("max_tokens",), ("seed", "max_tokens"), ("max_tokens", "max_completion_tokens", "seed")]
)
def test_server_without_a_parameter_that_maia_sets(
    connect: Callable[..., Any], names: tuple[str, ...], form: str
) -> None:
    notes: list[str] = []
    context = Context()
    context.warn_to(notes.append)
    with Gateway(refusing(*names, form=form)) as gateway:
        backbone = connect(gateway, "openai/my-model", api_base=f"{gateway.host}/v1", context=context)
        assert backbone.complete(MESSAGES, CallLimits()).text == "hello"
        asked = len(gateway.requests)
        assert backbone.complete(MESSAGES, CallLimits()).text == "hello"
        assert asked == 1 + len(names)
        assert len(gateway.requests) == asked + 1, "what the server does not take is remembered"
    assert ("seed" in names) == any("seed" in note for note in notes)


@pytest.mark.parametrize("form", ["fastapi", "openai", "groq", "serde"])
def test_option_that_the_server_does_not_take_is_named(ask: Callable[..., Any], form: str) -> None:
    with pytest.raises(BackboneError, match=r"backbone\.temperature"):
        ask(refusing("temperature", form=form), options={"temperature": 0.5})


def test_server_without_a_system_role_is_named(ask: Callable[..., Any]) -> None:
    with pytest.raises(BackboneError, match=r"backbone\.system_role=false"):
        ask(lambda body: (400, {"error": {"message": "System role not supported"}}))


def test_run_survives_every_odd_response(
    connect: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run meets them all; none of them ends it."""
    monkeypatch.setattr("maia_core.agent.time.sleep", lambda seconds: None)
    limits = {"retries": 2 * len(PASSING), "retry_seconds": 10_000, "turns": 200, "malformed": 100}
    config = validated(RunConfig, {"limits": limits}, "test")
    context = Context(config, installed(), parts=fake_parts(), cache=tmp_path)
    odd = [chat(None), chat(ANSWER[:20], "length"), chat(None, refusal="no"), *(body for body, *_ in TEXTS.values())]
    with Gateway(*odd, *PASSING.values(), chat(EXPERIMENT), "<html>busy</html>", chat(ANSWER)) as gateway:
        backbone = connect(gateway, "openai/my-model", api_base=f"{gateway.host}/v1", context=context)
        session = make_session(context, Journal(), ())
        outcome = run(session, backbone)
        session.close()
        assert len(gateway.requests) == len(odd) + len(PASSING) + 3
    assert outcome.status == "answered", outcome.reason


def test_deep_documents_are_left_alone() -> None:
    body = b"[" * 100_000
    assert documented("/v1/chat/completions", 200, body) == (200, body)


def test_other_protocols_pass_unchanged() -> None:
    for path, body in {
        "/v1/messages": {"type": "message", "content": [{"type": "text", "text": "hi"}]},
        "/v1beta/models/m:generateContent": {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]},
        "/api/chat": {"message": {"content": "hi"}, "done": True},
        "/v1/images/generations": {"data": [{"b64_json": "aGk="}]},
        "/v1/responses": {"error": None, "output": []},
    }.items():
        data = json.dumps(body).encode()
        assert documented(path, 200, data) == (200, data)
    for body in ({"error": "overloaded"}, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}):
        assert documented("/v1/messages", 200, json.dumps(body).encode())[0] == 520
