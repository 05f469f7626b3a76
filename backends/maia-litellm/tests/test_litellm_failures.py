"""What goes wrong is one clear line that names the setting; what may pass is said to pass; nothing is tried twice."""

from __future__ import annotations

import email.utils
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Failure, OpenAIServer, ProviderServer, Trouble
from servers.openai_chat import refused

from maia_core.errors import BackboneBusy, BackboneError, ContextTooLong, UsageError
from maia_core.testing import disc
from maia_core.types import CallLimits, Message
from maia_litellm.backbone import LitellmBackbone
from maia_litellm.describer import LitellmDescriber

Service = tuple[type[ProviderServer], str]
Connect = Callable[..., Any]

MESSAGES = [Message.of("system", "You explain units."), Message.of("user", "What is it?", disc("red"))]
LIMITS = CallLimits(seconds=20)


def ask(backbone: Any, seconds: float = 20) -> Any:
    return backbone.complete(MESSAGES, CallLimits(seconds=seconds))


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("unauthorized", BackboneError, ["TEST_SERVER_KEY"]),
        ("forbidden", BackboneError, ["does not allow", "TEST_SERVER_KEY"]),
        ("unknown-model", BackboneError, ["no model", "backbone.model"]),
        ("rate-limit", BackboneBusy, ["too many requests"]),
        ("quota", BackboneError, ["no money or quota", "TEST_SERVER_KEY"]),
        ("server-error", BackboneBusy, ["internal server error"]),
        ("bad-gateway", BackboneBusy, ["bad gateway"]),
        ("unavailable", BackboneBusy, ["service unavailable"]),
        ("overloaded", BackboneBusy, []),
        ("context", ContextTooLong, ["too long"]),
        ("too-large", ContextTooLong, ["too long"]),
    ],
)
def test_failures_of_the_service(
    service: Service, connect: Connect, kind: str, error: type[BackboneError], words: list[str]
) -> None:
    make, model = service
    with make(Failure(kind)) as server:
        with pytest.raises(error) as caught:
            ask(connect(server, model))
        assert type(caught.value) is error
        assert len(_posted(server)) == 1, "a retry, which is the loop's business"
        assert "\n" not in str(caught.value)
        for word in words:
            assert word in str(caught.value)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("7", 7, 7), ("0.5", 0.5, 0.5), ("date", 60, 91), ("soon", None, 0)],
    ids=["seconds", "fraction", "date", "nonsense"],
)
def test_server_says_how_long_to_wait(
    service: Service, connect: Connect, header: str, least: float | None, most: float
) -> None:
    make, model = service
    if header == "date":
        header = email.utils.formatdate(time.time() + 90, usegmt=True)
    with make(Failure("overloaded", retry_after=header)) as server, pytest.raises(BackboneBusy) as caught:
        ask(connect(server, model))
    waits = caught.value.retry_after
    assert waits is None if least is None else least <= (waits or 0) <= most


def test_content_that_the_filter_refuses_is_a_refusal_and_noted(service: Service, connect: Connect) -> None:
    from maia_core.context import Context

    make, model = service
    notes: list[str] = []
    context = Context()
    context.warn_to(notes.append)
    with make([Failure("policy"), "fine again"]) as server:
        backbone = connect(server, model, context=context)
        assert ask(backbone).stop == "refusal"
        assert ask(backbone).text == "fine again"
    assert len(notes) == 1
    assert "backbone.model" in notes[0]


def test_conversation_beyond_the_window_is_too_long(service: Service, connect: Connect) -> None:
    make, model = service
    with make("fine", context_tokens=1000) as server:
        backbone = connect(server, model)
        with pytest.raises(ContextTooLong):
            backbone.complete([MESSAGES[0], Message.of("user", "word " * 2000)], LIMITS)
        assert ask(backbone).text == "fine"


@pytest.mark.parametrize(
    ("trouble", "error", "words"),
    [
        (Trouble("cut"), BackboneBusy, "lost"),
        (Trouble("invalid-json"), BackboneBusy, "broke off"),
        (Trouble("html"), BackboneError, "backbone.api_base"),
        (Trouble("html", status=503), BackboneBusy, "unavailable"),
        (Trouble("html", status=404), BackboneError, "backbone.api_base"),
        (Trouble("redirect", status=302), BackboneError, "backbone.api_base"),
    ],
    ids=["cut", "invalid-json", "html", "html-503", "html-404", "redirect"],
)
def test_trouble_on_the_way(
    service: Service, connect: Connect, trouble: Trouble, error: type[BackboneError], words: str
) -> None:
    make, model = service
    with make(trouble) as server:
        with pytest.raises(error) as caught:
            ask(connect(server, model))
        assert type(caught.value) is error
        assert len(_posted(server)) == 1
    assert words in str(caught.value)


def test_reply_without_content_is_no_crash(service: Service, connect: Connect) -> None:
    make, model = service
    with make(Trouble("empty")) as server:
        try:
            reply = ask(connect(server, model))
        except BackboneError as error:
            assert "no reply" in str(error)  # noqa: PT017 - either is fine
        else:
            assert reply.text == ""


def test_endless_reply_is_not_read_into_memory(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    from maia_litellm import wire

    monkeypatch.setattr(wire, "MAX_BYTES", 2**20)
    with OpenAIServer(Trouble("huge", size=8 * 2**20)) as server, pytest.raises(BackboneError, match="too long"):
        ask(connect(server, "openai/gpt-4o"))


# Time.


def test_server_that_hangs_is_left_in_time(service: Service, connect: Connect) -> None:
    make, model = service
    with make(["warm", Trouble("hang")]) as server:
        backbone = connect(server, model)
        ask(backbone)
        started = time.monotonic()
        with pytest.raises(BackboneBusy, match=r"limits\.reply_seconds"):
            ask(backbone, seconds=0.5)
        assert time.monotonic() - started < 3


@pytest.mark.slow
@pytest.mark.parametrize("where", ["headers", "body"])
def test_server_that_drips_bytes_is_left_in_time(connect: Connect, where: str) -> None:
    """A time-out between two bytes, as HTTP clients have it, would never strike."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        while not stop.is_set():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\n" + (b"" if where == "headers" else b"content-length: 100000\r\n\r\n")
                try:
                    connection.sendall(head)
                    while not stop.wait(0.05):
                        connection.sendall(b"x")
                except OSError:
                    continue

    threading.Thread(target=drip, daemon=True).start()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    backbone = LitellmBackbone(LitellmBackbone.Config(model="openai/some", api_base=address), _context())
    try:
        started = time.monotonic()
        with pytest.raises(BackboneBusy, match=r"limits\.reply_seconds"):
            ask(backbone, seconds=4)
        assert time.monotonic() - started < 8
    finally:
        stop.set()


# Servers that are not there.


def test_server_that_is_not_there_is_no_passing_failure(service: Service, connect: Connect) -> None:
    """Retries would let the user wait for minutes before he learns that he forgot to start the server."""
    make, model = service
    with make() as server:
        backbone = connect(server, model)
    with pytest.raises(BackboneError, match=r"nothing answers at 127\.0\.0\.1:\d+: start the server or set backbone"):
        ask(backbone)


def test_server_that_was_there_may_come_back(service: Service, connect: Connect) -> None:
    make, model = service
    with make(["here", Trouble("cut")]) as server:
        backbone = connect(server, model)
        ask(backbone)
        with pytest.raises(BackboneBusy):
            ask(backbone)
    with pytest.raises(BackboneBusy, match="lost"):
        ask(backbone)


def test_host_that_does_not_exist() -> None:
    config = LitellmBackbone.Config(model="openai/some", api_base="http://no-such-host.invalid/v1")
    with pytest.raises(BackboneError, match=r"there is no such host at no-such-host\.invalid.*backbone\.api_base"):
        ask(LitellmBackbone(config, _context()))


def test_certificate_that_nobody_signed(service: Service, connect: Connect) -> None:
    make, model = service
    with make(tls=True) as server, pytest.raises(BackboneError, match="SSL_CERT_FILE") as caught:
        ask(connect(server, model))
    assert not isinstance(caught.value, BackboneBusy)


def test_https_where_the_server_speaks_http(connect: Connect) -> None:
    with OpenAIServer() as server, pytest.raises(BackboneError, match=r"HTTPS.*api_base"):
        ask(connect(server, "openai/gpt-4o", api_base=server.url.replace("http:", "https:")))


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "no PEM"])
def test_certificates_that_cannot_be_read_name_the_variable(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own: LiteLLM looks at the file when it is imported."""
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content)
    program = (
        "from maia_core.context import Context; from maia_core.types import CallLimits, Message\n"
        "from maia_litellm.backbone import LitellmBackbone as Backbone\n"
        "backbone = Backbone(Backbone.Config(model='openai/x', api_base='https://localhost:1/v1'), Context())\n"
        "try: backbone.complete([Message.of('user', 'hi')], CallLimits(seconds=20))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("UsageError SSL_CERT_FILE does not name a file of certificates"), done.stderr


@pytest.mark.parametrize("proxy", ["foo://localhost:1", "http://[::1"])
def test_proxy_that_cannot_be_used_names_the_variables(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    config = LitellmBackbone.Config(model="openai/some", api_base="http://no-such-host.invalid/v1")
    with pytest.raises(UsageError, match="proxy of the environment"):
        ask(LitellmBackbone(config, _context()))


def test_proxy_that_needs_another_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://localhost:1")
    config = LitellmBackbone.Config(model="openai/some", api_base="http://no-such-host.invalid/v1")
    with pytest.raises(UsageError, match=r"ALL_PROXY.*socksio.*pip install"):
        ask(LitellmBackbone(config, _context()))


# Settings that do not fit the model.


def test_unknown_model_names_the_nearest(service: Service, connect: Connect) -> None:
    make, model = service
    typo = {"openai/gpt-4o": "openai/gpt-4oo", "gemini/gemini-2.5-flash": "gemini/gemini-2.5-flsh"}.get(
        model, "anthropic/claude-haiku-4.5"
    )
    with make() as server, pytest.raises(BackboneError) as caught:
        ask(connect(server, typo, own=True))
    assert f"Did you mean '{model.partition('/')[2]}'" in str(caught.value)


def test_wrong_parameter_names_the_setting(connect: Connect) -> None:
    with OpenAIServer() as server:
        with pytest.raises(BackboneError, match=r"limits\.reply_tokens"):
            connect(server, "openai/gpt-4o").complete(MESSAGES, CallLimits(max_output_tokens=0))
        with pytest.raises(BackboneError, match=r"backbone\.params\.top_p"):
            ask(connect(server, "openai/gpt-4o", params={"top_p": "much"}))
        with pytest.raises(BackboneError, match=r"backbone\.temperature"):
            ask(connect(server, "openai/gpt-4o", temperature=3))
        with pytest.raises(BackboneError, match=r"backbone\.reasoning_effort"):
            ask(connect(server, "openai/gpt-4o", reasoning_effort="high"))
        with pytest.raises(BackboneError, match=r"backbone\.reasoning_effort"):
            ask(connect(server, "openai/gpt-5", reasoning_effort="none"))


def refusing(status: int, message: str, **more: Any) -> Callable[[Any], Any]:
    """A script that refuses everything with these words."""

    def refuse(request: Any) -> Any:
        raise refused(status, message, **more)

    return refuse


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "Invalid content type. image_url is only supported by certain models."),
        (404, "No endpoints found that support image input"),
        (400, "Failed to deserialize the JSON body: messages[1]: unknown variant `image_url`, expected `text`"),
        (500, "this model is missing data required for image input"),
        (500, 'can only concatenate str (not "list") to str'),
        (400, "q is not a multimodal model"),
        (400, "'messages.1' : for 'role:user' the following must be satisfied[('content' : content must be a string)]"),
        (400, "Model does not support images. Please use a model that does."),
        (400, "At most 0 image(s) may be provided in one prompt."),
        (400, "Image input modality is not enabled for models/q"),
    ],
)
def test_model_that_cannot_see_images_says_which_setting(connect: Connect, status: int, message: str) -> None:
    with OpenAIServer(refusing(status, message)) as server:
        backbone = connect(server, "openai/gpt-4o")
        with pytest.raises(BackboneError, match=r"cannot see images; set backbone\.images=false") as caught:
            ask(backbone)
        assert not isinstance(caught.value, BackboneBusy)
        with pytest.raises(BackboneError) as without:
            backbone.complete([Message.of("user", "Only words.")], LIMITS)
        assert "images=false" not in str(without.value)


def test_words_that_nobody_knows_may_mean_that_the_model_sees_no_images(connect: Connect) -> None:
    """Until an image was taken, or where another setting is to blame."""
    hint = "if the model sees no images, set backbone.images=false"
    with OpenAIServer(refusing(400, "bad input", param="messages.[1].content")) as server:
        with pytest.raises(BackboneError, match=hint) as caught:
            ask(connect(server, "openai/gpt-4o"))
        assert "params.messages" not in str(caught.value)
    hot = refusing(400, "too hot", param="temperature")
    with OpenAIServer(hot) as server, pytest.raises(BackboneError, match=r"see backbone\.temperature$"):
        ask(connect(server, "openai/gpt-4o"))
    with OpenAIServer(["seen", Failure("server-error")]) as server:
        backbone = connect(server, "openai/gpt-4o")
        ask(backbone)
        with pytest.raises(BackboneBusy) as later:
            ask(backbone)
        assert hint not in str(later.value)


def test_server_that_breaks_over_every_image_is_not_tried_for_ever(connect: Connect) -> None:
    with OpenAIServer(Failure("server-error")) as server:
        backbone = connect(server, "openai/gpt-4o")
        for _ in range(2):
            with pytest.raises(BackboneBusy, match=r"backbone\.images=false"):
                ask(backbone)
        with pytest.raises(BackboneError, match=r"backbone\.images=false") as caught:
            ask(backbone)
        assert not isinstance(caught.value, BackboneBusy)
        known = connect(server, "openai/gpt-4o", own=True)
        for _ in range(4):
            with pytest.raises(BackboneBusy):
                ask(known)


@pytest.mark.parametrize(
    ("message", "setting"),
    [
        ("At most 1 image(s) may be provided in one request.", "max_images=1: "),
        ("Too many images provided. This model supports up to 5 images", "max_images=5: "),
        ("Too many images in request. Max is 500.", "max_images=500: "),
        ("messages.1.content: Too many images and documents: 101 + 0 > 100", "max_images=100: "),
        ("Too many images", "max_images lower: "),
    ],
)
def test_too_many_images_says_how_many_to_set(connect: Connect, message: str, setting: str) -> None:
    with OpenAIServer(refusing(400, message)) as server, pytest.raises(BackboneError) as caught:
        ask(connect(server, "openai/gpt-4o"))
    assert f"set backbone.{setting}" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens"),
        (400, "The decoder prompt (length 9000) is longer than the maximum model length of 4096."),
        (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
        (
            422,
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 9000 `inputs` tokens",
        ),
    ],
)
def test_conversation_that_is_too_long_names_the_settings(connect: Connect, status: int, message: str) -> None:
    with OpenAIServer(refusing(status, message)) as server:
        with pytest.raises(ContextTooLong) as caught:
            ask(connect(server, "openai/gpt-4o"))
        for setting in (
            "backbone.context_tokens",
            "context_policy.images",
            "context_policy.tokens",
            "limits.reply_tokens",
        ):
            assert setting in str(caught.value)


def test_reply_that_is_too_long_names_the_room_for_reasoning(connect: Connect) -> None:
    too_large = refusing(400, "max_tokens is too large: 12288. This model supports at most 4096 completion tokens")
    with OpenAIServer(too_large) as server:
        plain, reasoning = connect(server, "openai/gpt-4o"), connect(server, "openai/gpt-5")
        with pytest.raises(BackboneError, match=r"tokens; set limits\.reply_tokens lower$"):
            ask(plain)
        with pytest.raises(BackboneError, match=r"set backbone\.reasoning_tokens=0 or limits\.reply_tokens lower$"):
            ask(reasoning)
        with pytest.raises(BackboneError, match=r"set describer\.reply_tokens lower$"):
            connect(server, "openai/gpt-4o", factory=LitellmDescriber).describe([disc("red")])


NEWER_NAME = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
OLDER_NAME = "Unrecognized request argument supplied: max_completion_tokens"


@pytest.mark.parametrize(
    ("model", "taken", "message"),
    [
        ("azure/my-deployment", "max_completion_tokens", NEWER_NAME),
        ("openai/gateways-own", "max_completion_tokens", NEWER_NAME),
        ("openai/older", "max_tokens", OLDER_NAME),
    ],
)
def test_length_is_sent_by_the_name_that_the_server_knows(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, model: str, taken: str, message: str
) -> None:
    """The name of a deployment does not tell which model it is."""
    monkeypatch.setattr(OpenAIServer, "validate", lambda server, request: _parse(request))
    words = [Message.of("user", "Go on.")]

    def check(request: Any) -> Any:
        if taken not in request.body:
            raise refused(400, message, code="unsupported_parameter")
        return "fine"

    with OpenAIServer(check) as server:
        backbone = connect(server, model, own=model == "openai/older")
        assert [backbone.complete(words, LIMITS).text for _ in range(2)] == ["fine", "fine"]
        assert [taken in request.body for request in server.requests] == [False, True, True]
    with OpenAIServer(refusing(400, message)) as server:
        with pytest.raises(BackboneError, match="refuses the request"):
            connect(server, model).complete(words, LIMITS)
        assert len(server.requests) == 3, "by both names, and without one"


def _parse(request: Any) -> None:
    request.body = json.loads(request.raw)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("qwen/nope is not a valid model ID", None),
        ("Invalid model: nope", "invalid_model"),
        ("The model `nope` does not exist.", None),
    ],
)
def test_unknown_model_is_compared_with_what_the_server_has(connect: Connect, message: str, code: str | None) -> None:
    """The list is asked for with the same key, and whatever fails there hides nothing."""
    for models, words in {
        ("qwen-vl", "llava"): "set backbone.model. Did you mean 'qwen-vl'?",
        ("another", "llava"): "set backbone.model. It has another, llava.",
        ("qwen-v",): "backbone.api_base",
    }.items():
        with OpenAIServer(models=models) as server:
            server.validate = refusing(400, message, code=code)  # type: ignore[method-assign]
            with pytest.raises(BackboneError) as caught:
                ask(connect(server, "openai/qwen-v"))
            assert words in str(caught.value)
            assert [request.method for request in server.requests] == ["POST", "GET"]
            assert server.requests[1].headers["authorization"] == f"Bearer {server.key}"


def test_wrong_key_of_xai_names_the_variable(connect: Connect) -> None:
    message = "Incorrect API key provided: ab***23. You can obtain an API key from https://console.x.ai."
    with OpenAIServer(refusing(400, message)) as server, pytest.raises(BackboneError, match="key in TEST_SERVER_KEY"):
        ask(connect(server, "openai/gpt-4o"))


def test_safety_check_of_xai_is_a_refusal(connect: Connect) -> None:
    message = "Content violates usage guidelines. Model: grok-4-0709, Failed check: SAFETY_CHECK_TYPE_BIO"
    with OpenAIServer(refusing(403, message)) as server:
        assert ask(connect(server, "openai/gpt-4o")).stop == "refusal"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "openai/gpt-4o"}, "export OPENAI_API_KEY="),
        ({"model": "anthropic/claude-haiku-4-5"}, "export ANTHROPIC_API_KEY="),
        ({"model": "gemini/gemini-2.5-pro"}, "export GEMINI_API_KEY="),
        ({"model": "openrouter/openai/gpt-4o"}, "export OPENROUTER_API_KEY="),
        ({"model": "azure/mine", "api_base": "https://mine.openai.azure.com"}, "export AZURE_API_KEY="),
        ({"model": "azure/mine"}, "backbone.api_base"),
        ({"model": ""}, "PROVIDER/MODEL"),
        ({"model": "gpt-4o"}, "PROVIDER/MODEL"),
        ({"model": "opnai/gpt-4o"}, "Did you mean 'openai'"),
        ({"model": "bedrock/claude"}, "backbone.api_base"),
        ({"model": "openai/x", "api_base": "localhost:8000"}, "whole address"),
        ({"model": "openai/x", "api_base": "http://[::1"}, "not an address"),
        ({"model": "openai/x", "api_base": "http://xn--/v1"}, "backbone.api_base is not an address"),
        ({"model": "openai/x", "api_base": "http://h/v1?key=1"}, "leave out"),
        ({"model": "openai/x", "api_base": "http://h/v1", "key_env": "NOT_SET_AT_ALL"}, "NOT_SET_AT_ALL"),
        ({"model": "openai/x", "api_base": "http://h/v1", "key_env": "my key"}, "name of an environment variable"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_the_run(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        LitellmBackbone(LitellmBackbone.Config(**options), _context())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_proxy_of_the_environment_is_not_used_for_this_machine(connect: Connect, monkeypatch: Any) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
        monkeypatch.delenv("NO_PROXY", raising=False)
    with OpenAIServer("direct") as server:
        assert ask(connect(server, "openai/gpt-4o")).text == "direct"


def _posted(server: ProviderServer) -> list[Any]:
    """Returns what was asked but for the list of models."""
    return [request for request in server.requests if request.method == "POST"]


def _context() -> Any:
    from maia_core.context import Context

    return Context()
