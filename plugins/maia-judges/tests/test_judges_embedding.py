"""The judge that asks nobody, on the concept tree alone: no pack is at hand here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maia_collage.detector import query
from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.protocols import Judge
from maia_core.testing import COLOURS, DistributionSuite, FakeDataset, disc, fake_parts, is_colour
from maia_judges import neutral_prompts
from maia_judges.embedding import EmbeddingJudge
from maia_judges.fit import concept_fits
from maia_labels.content import content_of, shows
from maia_labels.parts import alternatives, leaves
from maia_labels.prompt import parse
from maia_labels.vocabulary import vocabulary

WORDS = vocabulary()


class TestDistribution(DistributionSuite):
    distribution = "maia-judges"


class Coloured:
    """Scores a text by the share of its colour in the image, on a scale of its own."""

    fingerprint = "coloured-1"

    def __init__(self) -> None:
        self.titles: set[str] = set()

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> np.ndarray:
        self.titles |= {image.title for image in images}
        colours = [next((c for c in COLOURS if c in text), list(COLOURS)[len(text) % len(COLOURS)]) for text in texts]
        return np.array([[17 + 40 * is_colour(i.pixels(), c).mean() for c in colours] for i in images], np.float32)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    parts = {**fake_parts(), "similarity": Coloured()}
    return Context(parts=parts, cache=tmp_path)


@pytest.fixture
def judge(context: Context) -> EmbeddingJudge:
    made: EmbeddingJudge = context.build("judge", "embedding")
    return made


def shown(prompts: Sequence[str]) -> list[str]:
    """The concept of the first thing in each prompt."""
    return [parse(prompt).things[0].concept or "" for prompt in prompts]


def test_it_is_a_judge(judge: EmbeddingJudge) -> None:
    assert isinstance(judge, Judge)


def test_a_broad_claim_is_spread_over_the_tree(judge: EmbeddingJudge) -> None:
    concepts = shown(judge.write_prompts("animal", 7))
    assert all("animal" in WORDS.concepts.path(name) for name in concepts)
    branches = {WORDS.concepts.path(name)[-2] for name in concepts}
    assert len(branches) >= 6, "prompts of one branch would not expose that the claim is too broad"
    assert "mammal" in branches
    assert "bird" in branches


def test_a_specific_claim_keeps_its_concept_and_varies_the_rest(judge: EmbeddingJudge) -> None:
    prompts = judge.write_prompts("tiger", 12)
    assert len(set(prompts)) == 12
    assert set(shown(prompts)) == {"tiger"}
    parsed = [parse(prompt) for prompt in prompts]
    assert len({p.place for p in parsed}) > 6
    assert len({p.things[0].count for p in parsed}) > 2
    assert len({p.things[0].size for p in parsed}) > 1


def test_what_the_label_fixes_stays(judge: EmbeddingJudge) -> None:
    for prompt in judge.write_prompts("two red apples on grass", 10):
        parsed = parse(prompt)
        assert (parsed.things[0].count, parsed.things[0].colours) == (2, ("red",))
        assert parsed.place is not None
        assert parsed.place.kind == "grass"


def test_a_plural_is_no_number(judge: EmbeddingJudge) -> None:
    assert len({parse(p).things[0].count for p in judge.write_prompts("tigers", 7)}) > 1


@pytest.mark.parametrize("label", ["dog given snow", "snow | dog", "dogs with snow", "dog AND snow"])
def test_a_conjunction_shows_both_in_every_picture(judge: EmbeddingJudge, label: str) -> None:
    for prompt in judge.write_prompts(label, 8):
        parsed = parse(prompt)
        assert "dog" in WORDS.concepts.path(parsed.things[0].concept or "")
        assert parsed.place is not None
        assert parsed.place.kind == "snow"


def test_either_shows_both_sides_as_often(judge: EmbeddingJudge) -> None:
    concepts = shown(judge.write_prompts("tiger OR banana", 8))
    assert concepts.count("tiger") == concepts.count("banana") == 4


def test_red_things_are_red_and_different(judge: EmbeddingJudge) -> None:
    prompts = judge.write_prompts("red things", 8)
    assert all(parse(prompt).things[0].colours == ("red",) for prompt in prompts)
    assert len(set(shown(prompts))) == 8


def test_a_background_is_shown_alone_and_behind_different_things(judge: EmbeddingJudge) -> None:
    parsed = [parse(prompt) for prompt in judge.write_prompts("snow", 8)]
    assert {p.place.kind for p in parsed if p.place} == {"snow"}
    behind = [p.things[0].concept for p in parsed if p.things]
    assert 2 <= len(behind) == len(set(behind)) < 8


@pytest.mark.parametrize(
    "label", ["mammal", "red things", "snow", "dog | snow", "red", "planet", "stripes", "a round ball"]
)
def test_the_laboratory_understands_every_word(judge: EmbeddingJudge, label: str) -> None:
    for prompt in judge.write_prompts(label, 20):
        parsed = parse(prompt)
        assert not parsed.ignored + parsed.warnings, prompt


@pytest.mark.parametrize(
    "label",
    ["concave whirls", "dog with long ears", "blorp on grass", "\ud800", "", "x" * 3000, "snow AND grass", "(((", "🙂"],
)
def test_any_text_gets_prompts(judge: EmbeddingJudge, label: str) -> None:
    prompts = judge.write_prompts(label, 7)
    assert len({*prompts}) == 7
    "".join(prompts).encode()


def test_a_longer_list_begins_with_the_shorter_one(judge: EmbeddingJudge) -> None:
    assert judge.write_prompts("vehicle OR snow", 20)[:7] == judge.write_prompts("vehicle OR snow", 7)


def test_more_prompts_than_there_are_is_one_line(judge: EmbeddingJudge) -> None:
    with pytest.raises(UsageError, match="different prompts"):
        judge.write_prompts("tiger", 100_000)


def test_narrower_concepts_rank_first_and_others_last(judge: EmbeddingJudge) -> None:
    prompts = ["a red car on sand", "a lion on grass", "a teapot", "a tiger in the snow", "a trumpet"]
    ranked = [prompts[i] for i in judge.select("cat family", prompts)]
    assert set(ranked[:2]) == {"a lion on grass", "a tiger in the snow"}


def test_a_conjunction_ranks_what_shows_both_before_what_shows_one(judge: EmbeddingJudge) -> None:
    prompts = ["a teapot", "a dog on sand", "a car in the snow", "a dog in the snow"]
    ranked = [prompts[i] for i in judge.select("dog given snow", prompts)]
    assert ranked[0] == "a dog in the snow"
    assert ranked[-1] == "a teapot"


def test_either_ranks_both_sides_before_the_rest(judge: EmbeddingJudge) -> None:
    prompts = ["a teapot", "a dog on sand", "a trumpet", "a car in the snow"]
    assert set(judge.select("dog OR snow", prompts)[:2]) == {1, 3}


def test_an_empty_label_ranks_by_nothing_but_chance(judge: EmbeddingJudge) -> None:
    """Whose prompts come first in the pool must not decide."""
    firsts = 0
    for number in range(60):
        pool = [f"a tiger {number}", f"a teapot {number}"]
        ranked = judge.select("images", pool)
        assert [pool[i] for i in ranked] == [pool[::-1][i] for i in judge.select("images", pool[::-1])]
        firsts += ranked[0] == 0
    assert 15 < firsts < 45


def test_an_empty_label_picks_others_in_every_pool(judge: EmbeddingJudge) -> None:
    """Else it would choose the same images for every unit, and what is one accident would look like many."""
    firsts = set()
    for number in range(12):
        ranked = judge.select("images", ["a tiger", "a teapot", f"a trumpet {number}"])
        firsts.add(ranked.index(0) < ranked.index(1))
    assert firsts == {True, False}


@pytest.mark.parametrize(
    ("truth", "better", "worse"),
    [
        ("tiger", "tigers", "lion"),
        ("tiger", "lion", "trumpet"),
        ("dog | snow", "dog given snow", "dog OR snow"),
        ("dog | snow", "dog given snow", "dog"),
        ("tiger OR car", "car OR tiger", "tiger"),
        ("tiger OR car", "tiger", "teapot"),
        ("red thing", "red things", "blue things"),
        ("dog", "animal", "images"),
    ],
)
def test_the_nearer_label_wins_from_either_side(judge: EmbeddingJudge, truth: str, better: str, worse: str) -> None:
    assert judge.compare(truth, better, worse) == 0
    assert judge.compare(truth, worse, better) == 1


def test_equal_labels_are_no_matter_of_place(judge: EmbeddingJudge) -> None:
    wins = [judge.compare(f"tiger {n}", "images", "things") for n in range(30)]
    assert wins == [1 - judge.compare(f"tiger {n}", "things", "images") for n in range(30)]
    assert 5 < sum(wins) < 25


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("dogs", "a dog", True),
        ("next to a car", "beside a car", True),
        ("tiger OR car", "car OR tiger", True),
        ("tiger", "lion", False),
        ("dog", "animal", False),
        ("on the left", "on the right", False),
    ],
)
def test_labels_that_say_the_same(judge: EmbeddingJudge, a: str, b: str, same: bool) -> None:
    assert judge.same(a, b) == judge.same(b, a) == same


def test_a_weak_part_of_a_label_predicts_and_ranks_less(judge: EmbeddingJudge) -> None:
    images = [disc("red"), disc("blue")]
    full, weak = (
        judge.predict(label, images) for label in ("red thing OR blue thing", "red thing OR blue thing (40 %)")
    )
    assert weak[0] == full[0]
    assert weak[1] == pytest.approx(0.4 * full[1])
    prompts = ["a dog", "a hammer"]
    assert judge.select("dog OR hammer (30 %)", prompts) == [0, 1]
    assert judge.select("dog (30 %) OR hammer", prompts) == [1, 0]


def test_predictions_lie_on_one_scale(judge: EmbeddingJudge, context: Context) -> None:
    images = [disc("red", 1).retitled("secret"), disc("blue", 2), disc("yellow", 3)]
    context.part("similarity").similarity(images[:1], ["red"])
    context.part("similarity").titles.clear()
    either = judge.predict("red thing OR blue thing", images)
    assert either[0] > 0.4 < either[1]
    assert either[2] < 0.3
    assert judge.predict("red thing | blue thing", images)[0] < 0.3, "one of two that are needed is not enough"
    assert judge.predict("red thing", images[:1]) == judge.predict("red thing", images)[:1], (
        "no matter what else is shown"
    )
    assert judge.predict("images", images) == [0.5, 0.5, 0.5]
    assert context.part("similarity").titles == {""}, "a title would give the answer away"


def test_a_similarity_that_tells_nothing_is_said(tmp_path: Path) -> None:
    class Flat(Coloured):
        def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> np.ndarray:
            return np.ones((len(images), len(texts)), np.float32)

    context = Context(parts={"dataset": FakeDataset(), "similarity": Flat()}, cache=tmp_path)
    with pytest.raises(UsageError, match="similarity"):
        context.build("judge", "embedding").predict("tiger", [disc("red")])


def test_prompts_are_names_that_the_detector_knows_too(judge: EmbeddingJudge) -> None:
    for concept in shown(judge.write_prompts("anything", 40)):
        query(concept)


@pytest.mark.parametrize("label", ["mushroom OR bird", "animal", "tiger | snow", "snow", "red things"])
def test_neutral_prompts_show_nothing_of_the_label(judge: EmbeddingJudge, label: str) -> None:
    prompts = judge.write_neutral(label, 21)
    assert len(set(prompts)) == 21
    for prompt in prompts:
        assert max(float(concept_fits(leaf, [prompt])[0]) for leaf in leaves(label)) < 0.15, prompt
    assert judge.write_neutral(label, 21) == prompts
    assert judge.write_neutral("planet", 21) != prompts, "another label draws others"
    others = {prompt for other in ("planet", "pliers", "pizza") for prompt in judge.write_neutral(other, 21)}
    assert others & {*prompts}, "of the same candidates, so that labels share images"


def test_a_judge_without_neutral_prompts_ranks_them() -> None:
    class Words:
        def write_prompts(self, label: str, n: int) -> list[str]:
            return [f"{('bird', 'cup')[number % 2]} {number}" for number in range(n)]

        def select(self, label: str, prompts: Sequence[str]) -> list[int]:
            return sorted(range(len(prompts)), key=lambda i: label not in prompts[i])

    judge: Any = Words()
    assert neutral_prompts(judge, "bird", 4) == [f"cup {number}" for number in (1, 3, 5, 7)]


@pytest.mark.parametrize(
    ("label", "near"),
    [
        ("tiger", "cat family"),
        ("dog OR guitar", "animal"),
        ("red car", "vehicle"),
        ("snow", ""),
        ("dog given snow", "animal"),
    ],
)
def test_near_misses_show_the_neighbours_of_a_label_and_not_the_label(
    judge: EmbeddingJudge, label: str, near: str
) -> None:
    prompts = judge.write_near(label, 8)
    assert len(prompts) == len({*prompts}) == 8
    assert prompts[:4] == judge.write_near(label, 4)
    for prompt in prompts:
        ways = [[content_of(concept) for concept in way] for way in alternatives(label)]
        assert not any(all(shows(demand, content_of(prompt)) > 0.05 for demand in way) for way in ways), prompt
    if near:
        assert near in WORDS.concepts.path(shown(prompts[:1])[0])


def test_a_near_miss_of_a_colour_is_the_same_thing_in_another_colour(judge: EmbeddingJudge) -> None:
    colours = {colour for prompt in judge.write_near("red things", 6) for colour in parse(prompt).things[0].colours}
    assert len(colours) >= 5
    assert "red" not in colours


@pytest.mark.parametrize("label", ["", "images", "flurble squiggles"])
def test_nothing_is_near_what_the_tree_does_not_know(judge: EmbeddingJudge, label: str) -> None:
    assert judge.write_near(label, 5) == []
