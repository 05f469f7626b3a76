"""A backbone of a file: with eyes, without, real words, and what it does with a whole run's conversation."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf

from maia_core.agent import run
from maia_core.config import ContextPolicy, PluginConfig
from maia_core.errors import ContextTooLong, UsageError
from maia_core.image import Image
from maia_core.session import make_session
from maia_core.testing import FAKE_RUN, FakeDescriber, InProcessSandbox, ScriptedBackbone, disc
from maia_core.types import CallLimits, Message
from maia_llama_cpp import shared

pytestmark = pytest.mark.usefixtures("llama")

SHORT = CallLimits(max_output_tokens=16, seed=1)


@pytest.fixture
def conversation(context: Callable[..., Any]) -> list[Message]:
    """Every message of a whole run, with its 21 images, as the loop of the standard tools made them."""
    given = context()
    given._parts["sandbox"] = InProcessSandbox(PluginConfig(), given)
    session = make_session(given)
    outcome = run(session, ScriptedBackbone(FAKE_RUN))
    assert outcome.status == "answered"
    return session.conversation.messages


@pytest.mark.slow
def test_real_words_come_from_a_real_model(backbone_of: Callable[..., Any], smollm: Path) -> None:
    made = backbone_of(smollm)
    conversation = [Message.of("system", "Answer in one word."), Message.of("user", "What is the capital of France?")]
    reply = made.complete(conversation, SHORT)
    assert "Paris" in reply.text
    assert reply.model == made.info.model == "SmolLM2-135M-Instruct.Q4_1"
    assert reply.stop == "end"
    assert 20 < reply.usage.input_tokens < 40
    assert reply.usage.cost == reply.usage.unpriced_tokens == 0
    assert made.info.context_tokens == 8192
    assert not made.info.images


@pytest.mark.slow
def test_next_turn_reads_only_what_is_new(backbone_of: Callable[..., Any], smollm: Path) -> None:
    made = backbone_of(smollm)
    conversation = [Message.of("system", "You are brief. " * 36), Message.of("user", "Name a bird.")]
    first = made.complete(conversation, SHORT)
    conversation += [Message.of("assistant", first.text), Message.of("user", "Another one.")]
    second = made.complete(conversation, SHORT)
    assert first.usage.cached_tokens == 0
    assert second.usage.cached_tokens == 128, "one whole block"
    assert backbone_of(smollm).complete(conversation, SHORT).text == second.text


@pytest.mark.slow
def test_model_without_eyes_is_told_what_images_show_and_says_so_once(
    backbone_of: Callable[..., Any], smollm: Path, context: Callable[..., Any]
) -> None:
    seen: list[list[Image]] = []

    class Watched(FakeDescriber):
        def describe(self, images: Any) -> list[str]:
            seen.append(list(images))
            return super().describe(images)

    given = context()
    given._parts["describer"] = Watched()
    warnings: list[str] = []
    given.warn_to(warnings.append)
    made = backbone_of(smollm, given)
    for colour in ("red", "blue"):
        shown = disc(colour).retitled("a hypothesis")
        question = [Message.of("system", "You answer briefly."), Message.of("user", shown, "What colour is the disc?")]
        assert f"a {colour} disc" in made.complete(question, SHORT).text
    assert [image.title for images in seen for image in images] == ["", ""], "a describer is blind to titles"
    assert warnings == [
        "SmolLM2-135M-Instruct.Q4_1 sees no images: describer 'nearest' describes them in words",
    ]
    made.complete([Message.of("user", "No image.")], SHORT)
    assert len(seen) == 2


@pytest.mark.slow
def test_whole_run_goes_through(backbone_of: Callable[..., Any], families: Any, conversation: list[Message]) -> None:
    """With eyes and without."""
    assert sum(len(message.images) for message in conversation) >= 10
    for files in (families["qwen"], families["llava"].model):
        made = backbone_of(files, context_tokens=24_000)
        reply = made.complete(conversation, SHORT)
        again = made.complete(conversation, SHORT)
        assert again.usage.cached_tokens > 0.9 * reply.usage.input_tokens > 9000
        assert again.text == reply.text


@pytest.mark.slow
def test_more_images_than_fit_are_tiled_and_none_is_dropped(
    backbone_of: Callable[..., Any], context: Callable[..., Any], llava: Any, tmp_path: Path
) -> None:
    """144 tokens an image, as real ones have hundreds: 14 take half of the window, 24 are laid on sheets of four."""
    eyes = llava._replace(projector=tiny_gguf.projector(tmp_path / "mmproj.gguf", side=168))
    tokens = {}
    for count in (12, 24):
        made = backbone_of(eyes, context(context_policy=ContextPolicy(images=count)), context_tokens=4096)
        assert 144 <= made.info.image_tokens < 150
        assert made.info.max_images == 4096 // 2 // made.info.image_tokens * 16
        images = [disc("red", seed) for seed in range(count)]
        tokens[count] = made.complete([Message.of("user", *images, "?")], SHORT).usage.input_tokens
        made.close()
    assert tokens[12] > 12 * 144
    assert 6 * 144 < tokens[24] < 24 * 144


@pytest.mark.slow
def test_what_was_read_is_kept_when_more_images_come(
    backbone_of: Callable[..., Any], llava: Any, tmp_path: Path
) -> None:
    """Fourteen pictures fit, thirty do not: the first ten look alike in both conversations."""
    eyes = llava._replace(projector=tiny_gguf.projector(tmp_path / "mmproj.gguf", side=168))
    made = backbone_of(eyes, context_tokens=4096)
    conversation = [Message.of("user", *(disc("red", seed) for seed in range(10)), "?")]
    before = made.complete(conversation, SHORT)
    conversation += [
        Message.of("assistant", before.text),
        Message.of("user", *(disc("blue", n) for n in range(20)), "?"),
    ]
    assert made.complete(conversation, SHORT).usage.cached_tokens > 0.9 * before.usage.input_tokens


@pytest.mark.slow
def test_conversation_that_is_too_long_is_said(backbone_of: Callable[..., Any], llava: Any) -> None:
    made = backbone_of(llava, context_tokens=512)
    with pytest.raises(ContextTooLong, match="window has 512"):
        made.complete([Message.of("user", "word " * 200)], SHORT)


@pytest.mark.slow
def test_address_in_a_text_is_never_fetched(backbone_of: Callable[..., Any], families: Any) -> None:
    """The library's handlers fetch what they take for an image's address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/image.png"
        made = backbone_of(families["llava"])
        text = f'{address} ![]({address}) {{"type": "image_url", "image_url": "{address}"}} <img src="{address}">'
        made.complete([Message.of("system", text), Message.of("user", text, disc("red"), text)], SHORT)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.slow
def test_template_without_a_system_role_is_said_and_served(backbone_of: Callable[..., Any], tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ '<|im_start|>' + m.role + m.content if m.role != 'system' }}{% endfor %}"
    made = backbone_of(tiny_gguf.language_model(tmp_path / "model.gguf", template=template))
    assert not made.info.system_role
    usage = made.complete([Message.of("system", "x" * 50), Message.of("user", "y" * 50)], SHORT).usage
    assert usage.input_tokens > 100


@pytest.mark.slow
def test_reasoning_is_split_off(backbone_of: Callable[..., Any], tmp_path: Path) -> None:
    """A template that begins the reasoning itself: all that a noisy model writes is reasoning, and never ends."""
    template = "{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}{{ '<think>\n' }}"
    made = backbone_of(tiny_gguf.language_model(tmp_path / "model.gguf", template=template))
    reply = made.complete([Message.of("user", "Why?")], SHORT)
    assert reply.reasoning
    assert reply.text == ""
    assert reply.stop == "length"


@pytest.mark.slow
def test_window_is_bounded_by_the_model(backbone_of: Callable[..., Any], tmp_path: Path, smollm: Path) -> None:
    assert backbone_of(tiny_gguf.language_model(tmp_path / "large.gguf")).info.context_tokens == 8192
    assert backbone_of(tiny_gguf.language_model(tmp_path / "small.gguf", context=600)).info.context_tokens == 600
    with pytest.raises(UsageError, match="trained with a window of 8192 tokens, not 9000"):
        backbone_of(smollm, context_tokens=9000)


@pytest.mark.slow
def test_weights_are_loaded_once_and_freed(backbone_of: Callable[..., Any], llava: Any, families: Any) -> None:
    one, two = backbone_of(llava), backbone_of(llava)
    assert one._model._engine is two._model._engine
    engine = one._model._engine
    one.close()
    one.close()
    assert two.complete([Message.of("user", "hi")], SHORT).usage.output_tokens
    two.close()
    assert engine not in shared.engines.loaded()


@pytest.mark.slow
def test_weights_that_nobody_uses_wait_for_the_next_run(
    backbone_of: Callable[..., Any], llava: Any, families: Any
) -> None:
    """A sweep drops a backbone before it builds the next. Loading another model frees them."""
    first = backbone_of(llava)
    engine = first._model._engine
    del first
    gc.collect()
    second = backbone_of(llava)
    same = second._model._engine is engine
    assert same
    del second
    gc.collect()
    third = backbone_of(families["qwen"])
    freed = engine not in shared.engines.loaded()
    assert freed
    assert third.complete([Message.of("user", "hi")], SHORT).usage.output_tokens


PROCESS = """
import sys
from pathlib import Path
from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.types import CallLimits, Message
from maia_core.testing import disc
options = {"name": "llama-cpp", "model": sys.argv[1], "projector": sys.argv[2], "threads": 1}
context = Context(RunConfig(backbone=options), cache=Path(sys.argv[3]))
reply = context.part("backbone").complete([Message.of("user", "hi", disc("red"))], CallLimits(max_output_tokens=30))
print(ascii(reply.text))
"""


@pytest.mark.slow
def test_processes_share_files_and_end_quietly(llava: Any, cache: Path, backbone_of: Callable[..., Any]) -> None:
    """Two at once; nothing is printed when they end with the weights still loaded."""
    expected = backbone_of(llava).complete([Message.of("user", "hi", disc("red"))], CallLimits(max_output_tokens=30))
    command = [sys.executable, "-c", PROCESS, str(llava.model), str(llava.projector), str(cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "12"]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out.strip(), err, process.returncode) == (ascii(expected.text), "", 0)
