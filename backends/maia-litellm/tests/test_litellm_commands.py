"""Through the real command: what is wrong is one line and an exit code, and no file or line of a run holds a key."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import AnthropicServer, Failure, OpenAIServer, ProviderServer, Trouble

from maia_core import cli
from maia_core.context import Context
from maia_core.record import RunReader
from maia_core.testing import FAKE_RUN, fake_parts
from maia_runs import launch

Maia = Callable[..., tuple[int, str, str]]


@pytest.fixture
def maia(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Maia:
    """Runs the command on fake parts: `maia("openai/gpt-4o", server)` gives exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "Context", functools.partial(Context, parts=fake_parts(), cache=tmp_path / "cache"))

    def call(
        model: str, server: ProviderServer | None = None, *, flags: tuple[str, ...] = (), **options: Any
    ) -> tuple[int, str, str]:
        options = {"model": model} | options
        if server is not None:
            monkeypatch.setenv("TEST_SERVER_KEY", server.key)
            options = {"api_base": server.url, "key_env": "TEST_SERVER_KEY"} | options
        command = [*flags, "run", "--backbone", "litellm", "--out", "run", "--without", "report"]
        options = {"limits.retries": 0} | {f"backbone.{name}": value for name, value in options.items()}
        command += [text for name, value in options.items() for text in ("-o", f"{name}={value}")]
        monkeypatch.setattr("sys.argv", ["maia", *command])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_a_run_ends_with_a_label_and_shows_what_it_cost(
    maia: Maia, service: tuple[type[ProviderServer], str], tmp_path: Path
) -> None:
    make, model = service
    with make(list(FAKE_RUN)) as server:
        code, out, _ = maia(model, server)
    assert (code, "\nred\n" in out) == (0, True)
    outcome = RunReader(tmp_path / "run").outcome
    assert outcome is not None
    assert outcome.usage.price == "unknown"
    assert outcome.usage.unpriced_tokens > 1000


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"model": "openai/gpt-4o"}, "export OPENAI_API_KEY="),
        ({"model": "opnai/gpt-4o"}, "Did you mean 'openai'"),
        ({"model": "openai/x", "api_base": "localhost"}, "whole address"),
        ({"model": "openai/x", "temprature": "1"}, "Did you mean 'temperature'?"),
        ({"model": "openai/x", "temperature": "hot"}, "'temperature'"),
        ({"model": "openai/x", "api_key": "sk-proj-0123456789abcdef"}, "environment variable"),
        ({"model": "openai/x", "api_base": "https://me:sk-proj-0123456789abcdef@host/v1"}, "environment variable"),
    ],
    ids=["no-key", "provider", "address", "option", "value", "key-as-option", "key-in-address"],
)
@pytest.mark.parametrize("flags", [(), ("--traceback",)], ids=["plain", "traceback"])
def test_settings_that_cannot_work_end_with_code_2(
    maia: Maia, options: dict[str, str], line: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    code, out, err = maia(flags=flags, **options)
    assert code == 2
    assert out == ""
    assert line in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("maia: ")
    assert len(err.splitlines()) == 1 or flags
    assert "0123456789abcdef" not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Failure("unauthorized"), "rejects the key in TEST_SERVER_KEY"),
        (Failure("unknown-model"), "set backbone.model"),
        (Failure("quota"), "no money or quota left"),
        (Failure("policy"), "refused 5 times in a row; choose another backbone or model"),
        (Failure("context"), "too long"),
        (Failure("overloaded"), "failed 1 times"),
        (Trouble("html"), "check backbone.api_base"),
    ],
    ids=["key", "model", "quota", "refused", "context", "overloaded", "html"],
)
def test_failures_of_the_service_end_with_code_1(maia: Maia, step: Any, line: str, tmp_path: Path) -> None:
    with AnthropicServer(step) as server:
        code, _, err = maia("anthropic/claude-haiku-4-5", server)
    assert code == 1
    assert "Traceback" not in err
    outcome = RunReader(tmp_path / "run").outcome
    assert outcome is not None
    assert line in outcome.reason
    assert "\n" not in outcome.reason


def test_server_that_is_not_there_ends_at_once_with_code_1(maia: Maia, tmp_path: Path) -> None:
    code, _, err = maia("openai/x", api_base="http://127.0.0.1:9/v1")
    assert code == 1
    assert "Traceback" not in err
    outcome = RunReader(tmp_path / "run").outcome
    assert outcome is not None
    assert "nothing answers at 127.0.0.1:9" in outcome.reason


@pytest.mark.slow
def test_no_file_and_no_line_of_a_run_holds_the_key(
    maia: Maia, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it went well or not, and whatever the server repeats."""
    caplog.set_level(logging.DEBUG)
    steps = [FAKE_RUN[0], lambda: "", FAKE_RUN[1], FAKE_RUN[2]]
    written = ""
    for number, key in enumerate(["sk-proj-AbCdEfGhIjKlMnOpQr", "key of somebody's own".replace(" ", "-")]):

        def answer(request: Any, played: list[int] = []) -> Any:  # noqa: B006 - counts the calls
            played.append(1)
            step = steps[(len(played) - 1) % len(steps)]
            return f"My key is {request.headers['authorization']}." if callable(step) else step

        with OpenAIServer(answer, key=key) as server:
            code, out, err = maia("openai/gpt-4o", server, flags=("--traceback",))
        assert code == 0
        written += out + err
        (tmp_path / "run").rename(tmp_path / f"run{number}")
    with OpenAIServer(Failure("unauthorized"), key="sk-proj-AbCdEfGhIjKlMnOpQr") as server:
        code, out, err = maia("openai/gpt-4o", server, flags=("--traceback",))
    assert code == 1
    written += out + err + caplog.text
    written += "".join(file.read_text("latin-1") for file in tmp_path.rglob("*") if file.is_file())
    assert "TEST_SERVER_KEY" in written
    assert "AbCdEfGhIjKlMnOpQr" not in written
    assert "key-of-somebody's-own" not in written
