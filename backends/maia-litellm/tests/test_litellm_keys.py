"""A key goes to its own server and nowhere else: no other host, no redirect, no log, no error, no record."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import AnthropicServer, Bystander, OpenAIServer, ProviderServer, Received, Trouble

from maia_core.config import validated
from maia_core.context import Context
from maia_core.errors import BackboneError, MaiaError, UsageError
from maia_core.testing import disc
from maia_core.types import CallLimits, Message
from maia_litellm.backbone import LitellmBackbone
from maia_litellm.providers import PROVIDERS, Endpoint

Connect = Callable[..., Any]
Service = tuple[type[ProviderServer], str]

MESSAGES = [Message.of("system", "You explain units."), Message.of("user", "What is it?", disc("red"))]
LIMITS = CallLimits(seconds=20)

OTHERS = (
    *("AZURE_OPENAI_AD_TOKEN", "AZURE_AD_TOKEN", "OR_API_KEY", "PALM_API_KEY", "OLLAMA_API_KEY", "HOSTED_VLLM_API_KEY"),
    *("OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"),
    *("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_TOKEN", "LITELLM_API_KEY", "LITELLM_MASTER_KEY", "LITELLM_PROXY_API_KEY"),
)
"""What LiteLLM and the SDKs look for beside the providers' keys."""
ADDRESSES = (
    *("OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE", "GEMINI_API_BASE"),
    *("OPENROUTER_API_BASE", "MISTRAL_API_BASE", "XAI_API_BASE", "LITELLM_PROXY_API_BASE"),
)
"""Where LiteLLM and the SDKs would send a request to, if they were asked."""

MODELS = {
    "openai": "openai/gpt-4o",
    "anthropic": "anthropic/claude-haiku-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "azure": "azure/my-deployment",
    "openrouter": "openrouter/openai/gpt-4o",
    "mistral": "mistral/pixtral-12b",
    "xai": "xai/grok-4",
    "ollama_chat": "ollama/llava",
    "hosted_vllm": "vllm/llava",
}


def test_every_provider_is_tried() -> None:
    assert MODELS.keys() == PROVIDERS.keys()


@pytest.fixture
def bystander() -> Iterator[Bystander]:
    with Bystander() as server:
        yield server


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, bystander: Bystander) -> dict[str, str]:
    """Sets all variables that anything may read: keys, tokens and accounts to secrets, addresses to a bystander's."""
    names = {name for provider in PROVIDERS.values() for name in provider.keys} | set(OTHERS)
    secrets = {name: f"secret-of-{name.lower().replace('_', '-')}" for name in names}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    for name in ADDRESSES:
        monkeypatch.setenv(name, bystander.url + "/v1")
    import litellm

    for name in ("api_key", "openai_key", "anthropic_key", "openrouter_key", "azure_key", "ollama_key"):
        monkeypatch.setattr(litellm, name, f"secret-of-litellm-{name}", raising=False)
        secrets[f"litellm.{name}"] = f"secret-of-litellm-{name}"
    return secrets


def carried(request: Received, secrets: dict[str, str]) -> list[str]:
    return [name for name, secret in secrets.items() if request.carries(secret)]


def test_key_reaches_its_own_server_and_no_other(
    service: Service, connect: Connect, secrets: dict[str, str], bystander: Bystander
) -> None:
    make, model = service
    with make("An answer.") as server:
        assert connect(server, model).complete(MESSAGES, LIMITS).text == "An answer."
    [request] = server.requests
    assert request.carries(server.key)
    assert carried(request, secrets) == []
    assert bystander.requests == []


def test_key_of_a_provider_goes_to_its_own_address(
    service: Service, connect: Connect, secrets: dict[str, str], bystander: Bystander
) -> None:
    make, model = service
    with make("An answer.") as server:
        assert connect(server, model, own=True).complete(MESSAGES, LIMITS).text == "An answer."
    accounts = {"OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID"} if model.startswith("openai") else set()
    assert set(carried(server.requests[0], secrets)) <= accounts
    assert bystander.requests == []


@pytest.mark.parametrize("provider", MODELS)
def test_address_of_ones_own_gets_no_key_of_the_environment(
    provider: str, secrets: dict[str, str], bystander: Bystander
) -> None:
    config = LitellmBackbone.Config(model=MODELS[provider], api_base=bystander.url + "/v1")
    with pytest.raises(MaiaError):
        LitellmBackbone(config, Context()).complete(MESSAGES, LIMITS)
    [request] = bystander.requests
    assert request.method == "POST"
    assert carried(request, secrets) == []


@pytest.mark.parametrize("provider", MODELS)
def test_only_the_key_that_is_named_is_sent_to_an_address_of_ones_own(
    provider: str, secrets: dict[str, str], bystander: Bystander, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVER_KEY", "the-key-of-my-server")
    config = LitellmBackbone.Config(model=MODELS[provider], api_base=bystander.url, key_env="MY_SERVER_KEY")
    with pytest.raises(MaiaError):
        LitellmBackbone(config, Context()).complete(MESSAGES, LIMITS)
    [request] = bystander.requests
    field = PROVIDERS[provider].header
    assert request.headers[field].endswith("the-key-of-my-server")
    assert carried(request, secrets) == []
    assert [name for name, value in request.headers.items() if "the-key-of-my-server" in value] == [field]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(service: Service, connect: Connect, bystander: Bystander, status: int) -> None:
    make, model = service
    trouble = Trouble("redirect", to=bystander.host, status=status)
    with make(trouble) as server, pytest.raises(BackboneError, match="redirects"):
        connect(server, model).complete(MESSAGES, LIMITS)
    assert len(server.requests) == 1
    assert bystander.requests == []


# Which address is whose.


@pytest.mark.parametrize(
    ("model", "base", "own"),
    [
        ("openai/gpt-4o", "", True),
        ("openai/gpt-4o", "https://api.openai.com/v1", True),
        ("openai/gpt-4o", "https://eu.api.openai.com/v1", True),
        ("openai/gpt-4o", "http://api.openai.com/v1", False),
        ("openai/gpt-4o", "https://api.openai.com.example.org/v1", False),
        ("openai/gpt-4o", "https://notapi.openai.com/v1", False),
        ("openai/gpt-4o", "https://example.org/api.openai.com", False),
        ("openai/gpt-4o", "https://openrouter.ai/api/v1", False),
        ("anthropic/claude-haiku-4-5", "https://api.openai.com", False),
        ("azure/mine", "https://mine.openai.azure.com", True),
        ("azure/mine", "https://mine.openai.azure.com.example.org", False),
        ("azure/mine", "https://evilopenai.azure.com", False),
    ],
)
def test_key_belongs_to_the_hosts_of_its_provider(secrets: dict[str, str], model: str, base: str, own: bool) -> None:
    endpoint = Endpoint.find(model, base)
    assert endpoint.own is own
    assert bool(endpoint.key) is own


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"])
def test_key_of_a_provider_cannot_be_named_for_another_server(secrets: dict[str, str], name: str) -> None:
    with pytest.raises(UsageError, match="belongs to") as caught:
        Endpoint.find("openai/some", "https://example.org/v1", name)
    assert secrets[name] not in str(caught.value)
    with pytest.raises(UsageError, match="belongs to"):
        Endpoint.find("mistral/some", "", name)


def test_gemini_takes_googles_variable_where_its_own_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "second-choice")
    assert Endpoint.find("gemini/gemini-2.5-pro").key == "second-choice"
    monkeypatch.setenv("GEMINI_API_KEY", " first-choice\n")
    assert Endpoint.find("gemini/gemini-2.5-pro").key == "first-choice"


def test_key_that_no_header_can_hold_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("sk-two\nlines-of-it", "sk-ключ", "sk-with a space"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(UsageError, match="OPENAI_API_KEY") as caught:
            Endpoint.find("openai/gpt-4o")
        assert "sk-" not in str(caught.value)


def test_endpoint_does_not_show_its_key(secrets: dict[str, str]) -> None:
    endpoint = Endpoint.find("openai/gpt-4o")
    assert endpoint.key not in repr(endpoint)


# No option holds one.

KEY = "sk-proj-0123456789abcdef"


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": KEY},
        {"API-Key": KEY},
        {"params": {"api_key": KEY}},
        {"params": {"extra_headers": {"Authorization": f"Bearer {KEY}"}}},
        {"params": {"extra_headers": {"X-Team": f"Bearer {KEY}"}}},
        {"params": {"extra_headers": {"Ocp-Apim-Subscription-Key": "0123456789"}}},
        {"params": {"extra_headers": {"X-Gateway-Token": "0123456789"}}},
        {"params": {"extra_headers": {"Cookie": "session=0123456789"}}},
        {"params": {"extra_body": {"keys": [{"secret": KEY}]}}},
        {"params": {"azure_ad_token": KEY}},
        {"params": {"anything": KEY}},
        {"api_base": f"https://user:{KEY}@example.org/v1"},
        {"api_base": f"https://{KEY}@example.org/v1", "temperature": "hot"},
        {"key_env": KEY},
        {"model": KEY},
    ],
    ids=str,
)
def test_no_option_holds_a_key(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        validated(LitellmBackbone.Config, {"model": "openai/gpt-4o"} | options, "options of backbone 'litellm'")
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert "0123456789" not in shown
    assert "environment variable" in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    ["X-Title: lab", ["X-Title"], {"X-Title": 1}, {"X-Title": "a\nX-Other: b"}, {"X Title": "a"}, {"X-T": "é"}],
)
def test_header_fields_are_a_table_of_texts(headers: Any) -> None:
    with pytest.raises(UsageError, match=r"params\.extra_headers"):
        validated(LitellmBackbone.Config, {"model": "openai/gpt-4o", "params": {"extra_headers": headers}}, "options")


def test_options_that_only_sound_like_keys_are_taken() -> None:
    params = {"top_p": 0.9, "thinking": {"type": "enabled", "budget_tokens": 1024}, "presence_penalty": 0.1}
    assert LitellmBackbone.Config(model="openai/gpt-4o", params=params).params == params


@pytest.mark.parametrize("name", ["stream", "num_retries", "api_base", "timeout", "fallbacks", "mock_response"])
def test_parameters_do_not_lead_around_the_limits(name: str) -> None:
    with pytest.raises(UsageError, match=rf"params\.{name}"):
        LitellmBackbone.Config(model="openai/gpt-4o", params={name: "x"})


# Nothing that is written shows one.


def repeats_the_key(request: Received) -> Any:
    """Answers as providers do that repeat the key that they were given."""
    from servers.base import Refused

    key = request.headers.get("authorization") or request.headers.get("x-api-key") or ""
    text = f"Incorrect API key provided: {key}. You can find your key at your account, {key[-30:]}."
    statuses = [401, 400, 403, 404, 429, 500]
    status = statuses[len(repeats_the_key.asked) % len(statuses)]  # type: ignore[attr-defined]
    repeats_the_key.asked.append(status)  # type: ignore[attr-defined]
    raise Refused(status, {"error": {"message": text, "type": "invalid_request_error", "param": key, "code": key}})


repeats_the_key.asked = []  # type: ignore[attr-defined]


def test_errors_and_logs_do_not_repeat_a_key(connect: Connect, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    caplog.set_level(logging.DEBUG)
    for make, model in ((OpenAIServer, "openai/gpt-4o"), (AnthropicServer, "anthropic/claude-haiku-4-5")):
        with make(repeats_the_key, key="sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789") as server:
            backbone = connect(server, model)
            for _ in range(6):
                with pytest.raises(BackboneError) as caught:
                    backbone.complete(MESSAGES, LIMITS)
                shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
                assert "AbCdEfGhIjKl" not in shown
                assert "StUvWxYz" not in shown
    written = caplog.text + "".join(capfd.readouterr())
    assert "AbCdEfGhIjKl" not in written


def test_reply_does_not_repeat_a_key(connect: Connect) -> None:
    with OpenAIServer(lambda request: f"You sent {request.headers['authorization']}") as server:
        reply = connect(server, "openai/gpt-4o").complete(MESSAGES, LIMITS)
    assert server.key not in reply.model_dump_json()
    assert reply.text == "You sent Bearer [key]"


@pytest.mark.slow
def test_nothing_else_is_connected_to(tmp_path: Path) -> None:
    """Neither the import of LiteLLM nor a call of any provider looks anywhere else: price lists, telemetry, Ollama."""
    program = """
import json, os, socket, sys
seen, real = [], socket.socket.connect
def connect(self, address):
    seen.append(list(address[:2]))
    return real(self, address)
socket.socket.connect = connect
os.environ.pop("LITELLM_LOCAL_MODEL_COST_MAP", None)
from maia_core.context import Context
from maia_core.errors import MaiaError
from maia_core.types import CallLimits, Message
from maia_litellm.backbone import LitellmBackbone
for model in json.loads(sys.argv[2]):
    backbone = LitellmBackbone(LitellmBackbone.Config(model=model, api_base=sys.argv[1]), Context())
    try:
        backbone.complete([Message.of("user", "hi")], CallLimits(seconds=30))
    except MaiaError:
        pass
print(json.dumps(seen))
"""
    with Bystander() as server:
        command = [sys.executable, "-c", program, server.url, json.dumps(list(MODELS.values()))]
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    ports = {port for _, port in json.loads(done.stdout.splitlines()[-1])}
    assert ports == {int(server.url.rpartition(":")[2])}
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1, "LiteLLM prints"
