"""Engines with a cache before them: conformance, and what is asked of the engine behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maia_cache import CachedDescriber, CachedEditor, CachedGenerator, ContentCache
from maia_cache.engines import part_built
from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.errors import ToolError, UsageError
from maia_core.image import Image
from maia_core.testing import (
    DescriberSuite,
    EditorSuite,
    FakeDescriber,
    FakeEditor,
    FakeGenerator,
    GeneratorSuite,
    disc,
)
from maia_core.types import GeneratedImages


class Counting(FakeGenerator):
    """Notes every prompt and seed that it is asked for, call by call."""

    def __init__(self, fingerprint: str = "discs-1") -> None:
        super().__init__()
        self.asked: list[list[tuple[str, int]]] = []
        self.fingerprint = fingerprint
        self.cache_step: int | None = None

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        self.asked.append(list(zip(prompts, seeds, strict=True)))
        return super().generate(prompts, seeds)


class CountingDescriber(FakeDescriber):
    def __init__(self) -> None:
        super().__init__()
        self.refusal = ""
        self.titles: list[str] = []
        self.summaries = 0

    def describe(self, images: Sequence[Image]) -> list[str]:
        self.titles += [image.title for image in images]
        return super().describe(images)

    def summarize(self, images: Sequence[Image]) -> str:
        self.summaries += 1
        return super().summarize(images)


@pytest.fixture
def cache(tmp_path: Path) -> ContentCache:
    return ContentCache(tmp_path)


class TestGenerator(GeneratorSuite):
    @pytest.fixture
    def generator(self, cache: ContentCache) -> Any:
        return CachedGenerator(FakeGenerator(), cache)

    @pytest.fixture
    def twin(self, cache: ContentCache) -> Any:
        return CachedGenerator(FakeGenerator(), cache)


class TestEditor(EditorSuite):
    @pytest.fixture
    def editor(self, cache: ContentCache) -> Any:
        return CachedEditor(FakeEditor(), cache)


class TestDescriber(DescriberSuite):
    @pytest.fixture
    def describer(self, cache: ContentCache) -> Any:
        return CachedDescriber(FakeDescriber(), cache)


def test_only_what_is_missing_is_generated_in_order(cache: ContentCache) -> None:
    behind = Counting()
    CachedGenerator(behind, cache).generate(["a red disc", "a blue disc"], [1, 2])
    later = CachedGenerator(behind, cache)
    prompts, seeds = ["a green disc", "a blue disc", "a red disc", "a green disc", "a red disc"], [3, 2, 1, 3, 9]
    made = later.generate(prompts, seeds)
    assert behind.asked[1:] == [[("a green disc", 3), ("a red disc", 9)]], "each of the missing once, the rest not"
    expected = FakeGenerator().generate(prompts, seeds)
    assert [image.id for image in made.images] == [image.id for image in expected.images]
    assert [image.title for image in made.images] == prompts


def test_warning_is_given_again(cache: ContentCache) -> None:
    for _ in range(2):
        made = CachedGenerator(Counting(), cache).generate(["nothing", "a red disc"], [1, 1])
        assert made.warnings == ["no colour is named; drew plain grey", ""]


def test_another_engine_is_asked_anew(cache: ContentCache) -> None:
    old, new = Counting("discs-1"), Counting("discs-2")
    CachedGenerator(old, cache).generate(["a red disc"], [1])
    CachedGenerator(new, cache).generate(["a red disc"], [1])
    assert len(new.asked) == 1


def test_step_bounds_each_call(cache: ContentCache) -> None:
    behind = Counting()
    behind.cache_step = 2
    CachedGenerator(behind, cache).generate(["a red disc"] * 5, range(5))
    assert [len(call) for call in behind.asked] == [2, 2, 1]


def test_generator_that_returns_too_few_is_not_believed(cache: ContentCache) -> None:
    class Short(FakeGenerator):
        def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
            images, warnings = super().generate(prompts, seeds)
            return GeneratedImages(images[:-1], warnings[:-1])

    with pytest.raises(ValueError, match="shorter"):
        CachedGenerator(Short(), cache).generate(["a red disc", "a blue disc"], [1, 2])
    assert not list(cache.entries())


def test_refused_prompt_is_asked_again(cache: ContentCache) -> None:
    class Strict(Counting):
        def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
            made = super().generate(prompts, seeds)
            if "weapon" in prompts:
                raise ToolError("'weapon' is not drawn")
            return made

    behind = Strict()
    behind.cache_step = 1
    generator = CachedGenerator(behind, cache)
    for _ in range(2):
        with pytest.raises(ToolError, match="the other 2 are kept"):
            generator.generate(["a red disc", "weapon", "a blue disc"], [1, 1, 1])
    assert [prompt for [(prompt, _)] in behind.asked] == ["a red disc", "weapon", "a blue disc", "weapon"]


def test_equal_edits_are_one_and_no_title_of_another_run_comes_along(cache: ContentCache) -> None:
    edits = []

    class Noting(FakeEditor):
        def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
            edits.append(len(images))
            return super().edit(images, instructions, seeds)

    editor = CachedEditor(Noting(), cache)
    image = disc("red")
    mask = image.pixels()[:, :, 0] > 200
    first = editor.edit([image.retitled("exemplar 3")], ["make it blue"], [1])
    again = editor.edit([image.retitled("a disc").masked(mask), image], ["make it blue"] * 2, [1, 1])
    assert edits == [1]
    assert first.images[0].title == "exemplar 3, make it blue"
    assert [made.title for made in again.images] == ["a disc, make it blue", "make it blue"]
    assert {made.id for made in again.images} == {first.images[0].id}
    editor.edit([disc("green")], ["make it blue"], [1])
    editor.edit([image], ["make it yellow"], [1])
    editor.edit([image], ["make it blue"], [2])
    assert edits == [1, 1, 1, 1]


def test_descriptions_are_asked_once_and_blind(cache: ContentCache) -> None:
    behind = CountingDescriber()
    describer = CachedDescriber(behind, cache)
    images = [disc("red", 1).retitled("a secret"), disc("blue", 2), disc("red", 1)]
    first = describer.describe(images)
    assert CachedDescriber(behind, cache).describe(images[::-1]) == first[::-1]
    assert behind.titles == ["", ""]
    assert describer.summarize(images) == CachedDescriber(behind, cache).summarize(images)
    assert describer.summarize(images[:2]) != ""
    assert behind.summaries == 2


def test_what_stands_for_a_refusal_is_not_kept(cache: ContentCache) -> None:
    behind = CountingDescriber()
    images = [disc("red"), disc("blue")]
    red, blue = behind.describe(images)
    both = behind.summarize(images)
    behind.titles.clear()
    behind.refusal = red
    for _ in range(2):
        assert CachedDescriber(behind, cache).describe(images) == [red, blue]
    assert len(behind.titles) == 2 + 1, "the red one was asked about again"
    behind.refusal = both
    for _ in range(2):
        assert CachedDescriber(behind, cache).summarize(images) == both
    assert behind.summaries == 1 + 2


def test_mask_is_part_of_what_is_described(cache: ContentCache) -> None:
    image = disc("red")
    red = image.pixels()[:, :, 0] > 200
    described = CachedDescriber(FakeDescriber(), cache).describe([image.masked(red), image.masked(~red)])
    assert described[0] != described[1]


def test_arguments_that_do_not_fit_are_refused_before_anything_is_made(cache: ContentCache) -> None:
    behind = Counting()
    with pytest.raises(UsageError, match="2 prompts need as many seeds, not 1"):
        CachedGenerator(behind, cache).generate(["a", "b"], [1])
    with pytest.raises(UsageError, match="1 images need as many"):
        CachedEditor(FakeEditor(), cache).edit([disc("red")], [], [1])
    assert behind.asked == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from(["a red disc", "a blue disc", "?"]), st.integers(0, 2)), max_size=6))
)
def test_whatever_was_asked_before_the_answer_is_the_generators(calls: list[list[tuple[str, int]]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        behind = Counting()
        behind.cache_step = 2
        generator = CachedGenerator(behind, ContentCache(Path(folder)))
        for call in calls:
            prompts, seeds = [prompt for prompt, _ in call], [seed for _, seed in call]
            assert generator.generate(prompts, seeds) == FakeGenerator().generate(prompts, seeds)
        asked = [one for call in behind.asked for one in call]
        assert len(asked) == len(set(asked))


def test_tools_of_a_second_run_ask_the_engine_nothing(cache: ContentCache, tmp_path: Path) -> None:
    from maia_standard.images import EditImages

    behind = Counting()
    for _ in range(2):
        parts = {"generator": CachedGenerator(behind, cache), "editor": CachedEditor(FakeEditor(), cache)}
        context = Context(parts=parts, cache=tmp_path)
        images, titles = EditImages(PluginConfig(), context)(["a red disc"] * 3, "make it blue")
        assert len({image.id for image in images}) > 3
        assert titles[:2] == ["a red disc", "a red disc: make it blue"]
    assert len(behind.asked) == 1


class Looking:
    """A similarity that notes the images that it looks at."""

    fingerprint = "looking-1"

    def __init__(self) -> None:
        self.looked: list[str] = []

    def look(self, images: Sequence[Image]) -> list[dict[str, Any]]:
        self.looked += [image.id for image in images]
        return [{"mean": image.pixels().mean((0, 1))} for image in images]


def test_a_similarity_looks_at_an_image_once_over_runs_unless_it_is_not_cached(tmp_path: Path) -> None:
    images, context = [disc("red"), disc("blue"), disc("red")], Context(cache=tmp_path)
    seen = []
    for _ in range(2):
        similarity = Looking()
        assert part_built("similarity", "looking", similarity, context) is None
        seen.append([similarity.look(images), similarity.looked])
    assert [len({*looked}) for _, looked in seen] == [2, 0]
    first, second = ([arrays["mean"].tolist() for arrays in found] for found, _ in seen)
    assert first == second
    similarity = Looking()
    similarity.cached = False
    part_built("similarity", "looking", similarity, context)
    similarity.look(images)
    assert len(similarity.looked) == 3
