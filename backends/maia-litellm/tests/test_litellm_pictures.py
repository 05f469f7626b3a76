"""Generator and editor over real HTTP: what is drawn is kept, what is refused is said, nothing is paid twice."""

from __future__ import annotations

import base64
import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PILImage
from servers import Bystander, Drawing, Failure, GeminiServer, OpenAIServer, ProviderServer, Received, Trouble

from maia_cache.engines import CachedEditor, CachedGenerator
from maia_cache.store import shared
from maia_core.config import Limits, PluginConfig, RunConfig
from maia_core.context import Context
from maia_core.errors import BackboneError, RunError, ToolError, UsageError
from maia_core.image import Image
from maia_core.testing import EditorSuite, GeneratorSuite, disc
from maia_litellm.pictures import LitellmEditor, LitellmGenerator
from maia_standard.images import Text2Image

Connect = Callable[..., Any]
COMPATIBLE = "openai/diffusion"
"""A model of a server that is not OpenAI's: it draws small pictures, so that tests are quick."""


def png(size: tuple[int, int] = (8, 8), colour: str = "red", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    PILImage.new(mode, size, colour).save(file, "PNG")
    return file.getvalue()


def serving(script: Any = Drawing()) -> OpenAIServer:  # noqa: B008 -- immutable
    return OpenAIServer(script, models=("diffusion", "dall-e-3", "gpt-image-1", "gpt-image-2.6-flare"))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A context with a cache of its own, in which a failed call is tried again twice."""
    return Context(RunConfig(limits=Limits(retries=2, retry_seconds=5)), cache=tmp_path)


@pytest.fixture
def generate(connect: Connect, context: Context) -> Connect:
    """Makes a generator that talks to a server."""

    def make(server: ProviderServer, model: str = COMPATIBLE, **options: Any) -> Any:
        options = {"size": "64x64", "context": context} | options
        generator = connect(server, model, factory=LitellmGenerator, **options)
        return CachedGenerator(generator, shared(options["context"]))

    return make


@pytest.fixture
def edit(connect: Connect, context: Context) -> Connect:
    """Makes an editor that talks to a server."""

    def make(server: ProviderServer, model: str = COMPATIBLE, **options: Any) -> Any:
        options = {"size": "64x64", "context": context} | options
        editor = connect(server, model, factory=LitellmEditor, **options)
        return CachedEditor(editor, shared(options["context"]))

    return make


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with serving() as running:
        yield running


class TestGenerator(GeneratorSuite):
    nonsense = None

    @pytest.fixture
    def generator(self, server: OpenAIServer, generate: Connect) -> Any:
        return generate(server)

    @pytest.fixture
    def twin(self, server: OpenAIServer, generate: Connect) -> Any:
        return generate(server)


class TestEditor(EditorSuite):
    nonsense = None
    keeps_size = False

    @pytest.fixture
    def editor(self, server: OpenAIServer, edit: Connect) -> Any:
        return edit(server)

    @pytest.fixture
    def images(self) -> list[Image]:
        return [disc("red", 1, 64).retitled("one"), disc("blue", 2, 64), disc("green", 3, 64)]


# --- what is asked, what comes back ---


def test_dalle_is_asked_for_bytes_and_what_it_made_of_the_prompt_is_told(generate: Connect) -> None:
    with serving() as server:
        made = generate(server, "openai/dall-e-3", size="1024x1024", quality="hd").generate(["a dog"], [4])
    [image], [warning] = made
    assert (image.width, image.height, image.title) == (1024, 1024, "a dog")
    assert warning == "the service drew: A detailed picture of a dog"
    assert image.provenance == {
        "prompt": "a dog",
        "seed": 4,
        "model": "openai/dall-e-3",
        "revised_prompt": "A detailed picture of a dog",
    }
    assert server.requests[0].body == {
        "model": "dall-e-3",
        "prompt": "a dog",
        "size": "1024x1024",
        "quality": "hd",
        "response_format": "b64_json",
    }


def test_note_of_the_service_reaches_the_backbone(generate: Connect, context: Context) -> None:
    with serving(Drawing(revised_prompt="a photograph of a dog")) as server:
        run = Context(parts={"generator": generate(server)}, cache=context.cache)
        [image] = Text2Image(PluginConfig(), run)(["a dog"])
    [note] = run.take_shown()
    assert image.title == "a dog"
    assert note.text == 'Note on "a dog": the service drew: a photograph of a dog'  # type: ignore[union-attr]


def test_prompt_that_was_taken_as_it_is_needs_no_note(generate: Connect) -> None:
    with serving(Drawing(revised_prompt="a  dog\n")) as server:
        assert generate(server).generate(["a dog"], [1]).warnings == [""]


@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-2.6-flare"])
def test_gpt_image_is_not_asked_for_what_it_refuses(generate: Connect, edit: Connect, model: str) -> None:
    params = {"background": "opaque"}
    with serving() as server:
        generate(server, f"openai/{model}", size="1024x1024", quality="low", params=params).generate(["a dog"], [1])
        edit(server, f"openai/{model}", size="", params=params).edit([disc("red")], ["make it blue"], [1])
    first, second = server.requests
    assert first.body == {
        "model": model,
        "prompt": "a dog",
        "size": "1024x1024",
        "quality": "low",
        "background": "opaque",
    }
    assert second.body == {"model": model, "prompt": "make it blue", "background": "opaque"}
    assert (first.refused, second.refused) == (None, None)


@pytest.mark.parametrize("model", ["gemini-2.5-flash-image", "gemini-3.1-flash-image"])
def test_gemini_draws_and_edits(generate: Connect, edit: Connect, context: Context, model: str) -> None:
    with GeminiServer(Drawing(), models=(model,)) as server:
        drawn = generate(server, f"gemini/{model}", size="1024x1024", own=True).generate(["a dog"], [1]).images[0]
        edited = edit(server, f"gemini/{model}", size="", own=True).edit([disc("red")], ["make it blue"], [1]).images[0]
    assert drawn.id != edited.id
    assert all(request.refused is None for request in server.requests)
    assert server.requests[1].images[0].size == (32, 32)
    assert context.spent.cost > 0.07
    assert context.spent.unpriced_tokens == 0


def test_clean_pixels_are_edited_and_the_title_tells_both(edit: Connect) -> None:
    image = disc("red", 1, 64).retitled("a disc")
    mask = image.pixels()[:, :, 0] > 200
    with serving() as server:
        edited = edit(server).edit([image.masked(mask)], ["make it blue"], [1]).images[0]
    assert edited.title == "a disc, make it blue"
    assert edited.provenance["edited_from"] == image.id
    assert server.requests[0].images[0].image.tobytes() == image.pixels().tobytes()


def test_transparent_picture_is_laid_on_white(generate: Connect) -> None:
    with serving(Drawing(data=png(colour="#ff000000", mode="RGBA"))) as server:
        image = generate(server).generate(["nothing"], [1]).images[0]
    assert (image.pixels() == 255).all()


# --- what is kept ---


def test_nothing_is_asked_twice(generate: Connect) -> None:
    with serving() as server:
        first = generate(server)
        images = first.generate(["a dog", "a cat", "a dog"], [1, 1, 1]).images
        assert len(server.requests) == 2, "equal orders of one call are one order"
        assert images[0] == images[2]
        again = generate(server).generate(["a cat", "a dog"], [1, 1]).images
        assert [image.id for image in again] == [images[1].id, images[0].id]
        assert len(server.requests) == 2, "a later run finds them"
        first.generate(["a dog"], [2])
        generate(server, quality="hd").generate(["a dog"], [1])
        generate(server, size="32x32").generate(["a dog"], [1])
        assert len(server.requests) == 5, "another seed, quality or size is another picture"


def test_picture_of_another_address_is_another(generate: Connect) -> None:
    with serving() as one, serving() as two:
        first = generate(one)
        second = generate(two)
        assert first.fingerprint != second.fingerprint
        assert first.generate(["a dog"], [1]).images != second.generate(["a dog"], [1]).images


def test_what_the_service_said_is_kept_too(generate: Connect) -> None:
    with serving(Drawing(revised_prompt="собака 🐶")) as server:
        before = generate(server).generate(["a dog"], [1])
        after = generate(server).generate(["a dog"], [1])
    assert len(server.requests) == 1
    assert before.warnings == after.warnings == ["the service drew: собака 🐶"]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\0" * 99])
def test_broken_file_is_drawn_anew(generate: Connect, context: Context, damage: Callable[[bytes], bytes]) -> None:
    with serving() as server:
        generate(server).generate(["a dog"], [1])
        [file] = (context.cache / "content").rglob("*.png")
        file.write_bytes(damage(file.read_bytes()))
        redrawn = generate(server).generate(["a dog"], [1]).images
        assert generate(server).generate(["a dog"], [1]).images == redrawn
    assert len(server.requests) == 2


def test_full_disk_costs_no_picture(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    context = Context(cache=file)
    warnings: list[str] = []
    context.warn_to(warnings.append)
    with serving() as server:
        generator = connect(server, COMPATIBLE, factory=LitellmGenerator, size="64x64", context=context)
        assert len(CachedGenerator(generator, shared(context)).generate(["a dog"], [1]).images) == 1
    assert "nothing can be kept" in warnings[0]


# --- money ---


def test_price_is_known_at_the_provider_itself(generate: Connect, edit: Connect, context: Context) -> None:
    with serving() as server:
        model = "openai/gpt-image-1"
        generate(server, model, own=True, size="1024x1024", quality="low").generate(["four tokens of text"], [1])
        assert context.spent.cost == pytest.approx(5 * 5e-6 + 272 * 4e-5)
        assert (context.spent.input_tokens, context.spent.output_tokens) == (5, 272)
        edit(server, model, own=True, size="", quality="low").edit([disc("red")], ["blue"], [1])
        assert context.spent.cost == pytest.approx(6 * 5e-6 + 323 * 1e-5 + 2 * 272 * 4e-5)
    assert context.spent.unpriced_tokens == 0


def test_unknown_price_is_never_nothing(generate: Connect, context: Context) -> None:
    with serving() as server:
        generate(server).generate(["a dog", "a cat"], [1, 1])
        assert (context.spent.price, context.spent.unpriced_tokens) == ("unknown", 2)
        generate(server, "openai/gpt-image-1", size="1024x1024", quality="low").generate(["a dog"], [1])
    assert context.spent.unpriced_tokens == 2 + 2 + 272


# --- what is refused ---


def test_refused_prompt_is_named_and_the_others_are_kept(generate: Connect) -> None:
    def strict(request: Received) -> Any:
        return Failure("policy") if "weapon" in request.body["prompt"] else Drawing()

    with serving(strict) as server:
        generator = generate(server)
        with pytest.raises(ToolError) as error:
            generator.generate(["a dog", "a weapon", "a cat", "a large weapon"], [1, 1, 1, 1])
        assert len(server.requests) == 4
        generator.generate(["a dog", "a toy", "a cat"], [1, 1, 1])
        assert [request.body["prompt"] for request in server.requests[4:]] == ["a toy"]
    text = str(error.value)
    assert "'a weapon' is not drawn" in text
    assert "'a large weapon'" in text
    assert "'a dog'" not in text
    assert "safety system" in text
    assert "the other 2 are kept" in text
    assert "\n" not in text


def test_refused_edit_is_named(edit: Connect) -> None:
    with serving(Failure("policy")) as server, pytest.raises(ToolError, match="'add a weapon' is not drawn"):
        edit(server, "openai/gpt-image-1", size="").edit([disc("red")], ["add a weapon"], [1])


def test_gemini_that_blocks_a_prompt_sends_no_picture(generate: Connect) -> None:
    with GeminiServer(Failure("policy")) as server, pytest.raises(ToolError, match="'a weapon' is not drawn"):
        generate(server, "gemini/gemini-2.5-flash-image", size="").generate(["a weapon"], [1])


@pytest.mark.parametrize("prompt", ["", " \n", "x" * 4001])
def test_prompt_that_cannot_be_drawn_is_not_sent(generate: Connect, prompt: str) -> None:
    with serving() as server:
        with pytest.raises(ToolError, match=r"empty|4001 characters"):
            generate(server, "openai/dall-e-3", size="").generate([prompt], [1])
        assert not server.requests


# --- failures ---


def test_passing_failure_is_tried_again(generate: Connect, context: Context) -> None:
    script = [Failure("rate-limit", "0"), Failure("overloaded", "0"), Drawing()]
    with serving(script) as server:
        assert len(generate(server).generate(["a dog"], [1]).images) == 1
    assert len(server.requests) == 3


def test_failure_that_does_not_pass_ends_in_bounded_time(generate: Connect) -> None:
    with serving(Failure("overloaded", "0")) as server:
        with pytest.raises(RunError, match=r"failed 3 times.*overloaded"):
            generate(server).generate(["a dog"], [1])
        assert len(server.requests) == 3
    with serving(Failure("rate-limit", "3600")) as server:
        with pytest.raises(RunError, match="failed 1 times"):
            generate(server).generate(["a dog"], [1])
        assert len(server.requests) == 1, "nobody waits for an hour"


@pytest.mark.slow
def test_picture_that_takes_too_long(generate: Connect) -> None:
    script = [Trouble("slow", seconds=3), Drawing()]
    with serving(script) as server:
        assert generate(server, seconds=0.5).generate(["a dog"], [1]).images
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure("unauthorized"), "TEST_SERVER_KEY"),
        (Failure("unknown-model"), "generator.model"),
        (Failure("quota"), "quota"),
        (Trouble("html"), "generator.api_base"),
        (Trouble("redirect", to="http://127.0.0.1:9"), "redirects"),
    ],
)
def test_failure_says_which_setting_to_change(generate: Connect, failure: Any, expected: str) -> None:
    with serving(failure) as server:
        with pytest.raises(BackboneError, match=expected) as error:
            generate(server, parallel=1).generate(["a dog", "a cat"], [1, 1])
        asked = [request for request in server.requests if request.method == "POST"]
        assert len(asked) == 1, "what is wrong for one is wrong for all: the rest is not asked"
    assert "\n" not in str(error.value)
    assert server.key not in str(error.value)


def test_what_was_drawn_before_a_failure_is_kept(generate: Connect) -> None:
    with serving([Drawing(), Failure("unauthorized"), Drawing()]) as server:
        generator = generate(server, parallel=1)
        with pytest.raises(BackboneError):
            generator.generate(["a dog", "a cat"], [1, 1])
        generator.generate(["a dog", "a cat"], [1, 1])
        assert [request.body["prompt"] for request in server.requests] == ["a dog", "a cat", "a cat"]


def bomb() -> bytes:
    """A PNG of a hundred bytes that claims to have a hundred thousand pixels a side."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def gif() -> bytes:
    file = io.BytesIO()
    PILImage.new("RGB", (8, 8)).save(file, "GIF")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bomb(), "more than 50,000,000 pixels"),
        (gif(), "not a readable picture"),
        (b"<html>", "not a readable picture"),
        (png((64, 64))[:50], "not a readable picture"),
    ],
    ids=["bomb", "gif", "html", "cut"],
)
def test_hostile_picture_is_not_decoded(generate: Connect, context: Context, data: bytes, expected: str) -> None:
    with serving(Drawing(data=data)) as server, pytest.raises(BackboneError, match=expected):
        generate(server).generate(["a dog"], [1])
    assert not list(context.cache.rglob("*.png"))


def test_address_in_place_of_a_picture_is_not_fetched(generate: Connect) -> None:
    with Bystander() as other, serving(Drawing(url=other.host + "/picture.png")) as server:
        with pytest.raises(BackboneError, match="response_format=b64_json"):
            generate(server, params={"response_format": "url"}).generate(["a dog"], [1])
        assert not other.requests


def test_text_that_is_no_base64(generate: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base64, "b64encode", lambda data: b"%%%")
    with serving() as server, pytest.raises(BackboneError, match="not base64"):
        generate(server).generate(["a dog"], [1])


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"size": "huge"}, "see generator.size"),
        ({"size": "1024x1024", "quality": "hd"}, "see generator.quality"),
        ({"size": "1024x1024", "params": {"background": "green"}}, "see generator.params.background"),
        ({"size": "1024x1024", "params": {"style": "vivid"}}, "leave out generator.params.style"),
    ],
)
def test_option_that_the_model_does_not_take_is_named(generate: Connect, options: dict[str, Any], setting: str) -> None:
    with serving() as server, pytest.raises(BackboneError) as error:
        generate(server, "openai/gpt-image-1", **options).generate(["a dog"], [1])
    assert setting in str(error.value)


# --- keys and options ---


def test_key_of_a_provider_is_not_sent_elsewhere(
    generate: Connect, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-key-of-openai")
    with serving() as server:
        other = LitellmGenerator(LitellmGenerator.Config(model=COMPATIBLE, api_base=server.url), context)
        with pytest.raises(BackboneError, match=r"generator\.key_env"):
            other.generate(["a dog"], [1])
        generate(server).generate(["a dog"], [1])
        assert len(server.requests) == 2
        assert not any(request.carries("sk-the-key-of-openai") for request in server.requests)
        with pytest.raises(UsageError, match="OPENAI_API_KEY belongs to openai"):
            generate(server, key_env="OPENAI_API_KEY")


def test_no_key_no_generator(context: Context) -> None:
    with pytest.raises(UsageError, match="export OPENAI_API_KEY"):
        LitellmGenerator(LitellmGenerator.Config(model="openai/gpt-image-1"), context)


@pytest.mark.parametrize(
    ("factory", "model", "expected"),
    [
        (LitellmGenerator, "", "generator.model is written PROVIDER/MODEL"),
        (LitellmGenerator, "anthropic/claude-opus-5", "anthropic has no image API"),
        (LitellmEditor, "xai/grok-imagine-image", "xai has no image API for this"),
        (LitellmGenerator, "azure/my-images", "generator.api_base=https://RESOURCE"),
    ],
)
def test_model_that_cannot_be_used_is_said_at_once(
    factory: Any, model: str, expected: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "XAI_API_KEY", "AZURE_API_KEY"):
        monkeypatch.setenv(name, "sk-something")
    monkeypatch.setenv("AZURE_API_BASE", "https://mine.openai.azure.com")
    with pytest.raises(UsageError, match=expected):
        factory(factory.Config(model=model), context)


@pytest.mark.parametrize("params", [{"api_key": "x"}, {"user": "sk-abcdefgh12345678"}, {"n": 4}, {"size": "1x1"}])
def test_parameter_that_is_a_secret_or_ours_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LitellmGenerator.Config(model="openai/gpt-image-1", params=params)


def test_pictures_are_asked_for_side_by_side(generate: Connect) -> None:
    together = threading.Barrier(3, timeout=20)

    def wait(request: Received) -> Drawing:
        together.wait()
        return Drawing()

    with serving(wait) as server:
        prompts = ["a dog", "a cat", "a cow", "a pig", "a hen", "a fox"]
        assert len(generate(server, parallel=3).generate(prompts, [1] * 6).images) == 6
