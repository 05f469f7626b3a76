"""What goes wrong is one clear line that names the setting; what may pass is said to pass; nothing is tried twice."""

from __future__ import annotations

import email.utils
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

from maia_core.errors import BackboneBusy, BackboneError, ContextTooLong, UsageError
from maia_core.testing.fakes import disc
from maia_core.types import CallLimits, Message
from maia_litellm.backbone import LitellmBackbone

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
        assert len(server.requests) == 1, "a retry, which is the loop's business"
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
        (Trouble("invalid-json"), BackboneError, "is no reply"),
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
        assert len(server.requests) == 1
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

    monkeypatch.setattr(wire, "MOST_BYTES", 2**20)
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


def test_model_that_cannot_see_images_says_which_setting(connect: Connect) -> None:
    message = (
        "Invalid content type. image_url is only supported by certain models; this one does not support image input"
    )

    def refuse(request: Any) -> Any:
        from servers.openai_chat import refused

        raise refused(400, message)

    with OpenAIServer(refuse) as server, pytest.raises(BackboneError, match=r"backbone\.images=false"):
        ask(connect(server, "openai/gpt-4o"))


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
        ({"model": "openai/x", "api_base": "http://[::1"}, "no address"),
        ({"model": "openai/x", "api_base": "http://xn--/v1"}, "backbone.api_base is no address"),
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


def _context() -> Any:
    from maia_core.context import Context

    return Context()
