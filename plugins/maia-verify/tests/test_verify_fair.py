"""A right answer must not fail by a fault of the test: each of these was seen on real units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from maia_core.image import Image
from maia_core.plugin import Explanation, Probe
from maia_core.testing import COLOURS, FakeDescriber, FakeEditor, FakeGenerator
from maia_core.types import GeneratedImages
from maia_judges.embedding import EmbeddingJudge
from maia_judges.prompts import write
from maia_judges.spread import Spread
from maia_labels.canonical import canonical, understood
from maia_stats import Interval, against_bar
from maia_verify.checks import Draft, decide
from maia_verify.claims import Claim, Covers, claims_of


def _explained(*labels: str, strengths: tuple[float, ...] = ()) -> Explanation:
    return Explanation(description="", labels=labels, strengths=strengths)


@pytest.fixture
def covers(discs):
    """Makes the decision whether a claim covers a prompt, with the judge of the laboratory."""

    def make(text: str) -> Covers:
        judge = EmbeddingJudge(EmbeddingJudge.Config(), discs())
        return Covers(judge, [(Claim(text, (text,), 1.0), write(text, 8, Spread(None)))])

    return make


class Recording(FakeEditor):
    """Notes the instructions; every replacement shows plain grey."""

    def __init__(self) -> None:
        self.instructions: list[str] = []

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        self.instructions += instructions
        return GeneratedImages([Image.from_pixels(np.full_like(i.pixels(), 128)) for i in images], [""] * len(images))


class Counting(FakeGenerator):
    """Counts its calls."""

    calls = 0

    def generate(self, prompts, seeds):
        self.calls += 1
        return super().generate(prompts, seeds)


def test_replacements_are_several_things_that_lack_the_property(discs, verifier) -> None:
    editor = Recording()
    context = discs("red", editor=editor)
    assert verifier(context).verify(_explained("red things"), context, 1).passed
    others = {instruction.partition(" with ")[2] for instruction in editor.instructions}
    assert len(others) > 2
    assert not any("red" in other for other in others)


@pytest.mark.parametrize(
    ("claim", "covered", "free"),
    [
        ("white things", ["a cup", "a white football", "a goose", "a white goose"], ["a blue cup", "a black goose"]),
        ("race car", ["a car", "a race car"], ["a cup", "a crow"]),
        ("snow", ["a dog in the snow"], ["a cup", "grass", "a goose"]),
    ],
)
def test_words_tell_what_a_claim_or_its_colour_covers(covers, claim: str, covered: list[str], free: list[str]) -> None:
    covers = covers(claim)
    assert [text for text in covered if not covers(text)] == []
    assert [text for text in free if covers(text)] == []


@pytest.mark.parametrize(
    "wordings",
    [
        ["white things", "white objects", "anything white", "images of white things", "things that are white"],
        ["orange things", "anything orange", "everything that is orange"],
        ["dog", "dogs", "a dog", "any dog", "photos of dogs", "dog (80 %)"],
    ],
)
def test_the_same_claim_in_other_words_is_the_same_claim(wordings: list[str]) -> None:
    assert {canonical(text) for text in wordings} == {canonical(wordings[0])}
    assert len({claims_of(_explained(text)).each[0].things for text in wordings}) == 1


def test_orange_is_a_colour_or_a_fruit() -> None:
    assert understood("anything orange") == "any orange object"
    assert understood("oranges") == "the concept 'orange'"


def test_other_words_get_the_same_verdict_and_the_verdict_says_how_they_were_read(discs, verifier) -> None:
    context = discs("red")
    one, other = (verifier(context).verify(_explained(text), context, 1) for text in ("red things", "anything red"))
    assert one.checks == other.checks
    assert one.predictions == other.predictions
    assert other.notes == ("'anything red' is understood as 'red things': any red object.",)


class Attributed(FakeDescriber):
    """Describes as `nearest` does: the name of a thing, and its colour in a clause of its own."""

    def describe(self, images: Sequence[Image]) -> list[str]:
        seen = super().describe(images)
        named = [next((colour for colour in COLOURS if colour in text), "grey") for text in seen]
        return [f"disc (0.90), ring (0.05); colours: {colour} 90%" for colour in named]


def test_pictures_of_what_is_left_out_keep_the_colour_that_the_claim_covers(discs, verifier) -> None:
    class Blind(type(discs().part("judge"))):
        """Overlooks every real image."""

        def predict(self, label: str, images: Sequence[Image]) -> list[float]:
            return [0.0 if n % 3 else value for n, value in enumerate(super().predict(label, images))]

    context = discs("red", judge=Blind(), describer=Attributed())
    verdict = verifier(context).verify(_explained("red"), context, 1)
    shown = [probe.text for probe in verdict.probes if probe.condition == "left out"]
    assert not any("red" in text or not any(colour in text for colour in COLOURS) for text in shown), shown


def test_a_check_fails_only_where_its_interval_excludes_the_bar() -> None:
    few = Draft("few", 0.8, hits=0, of=1)
    more = Draft("more", 0.8, hits=10, of=13)
    many = Draft("many", 0.8, hits=5, of=40)
    held = Draft("held", 0.8, hits=38, of=40)
    checks = {check.claim: check for check in decide([few, more, many, held], 3, 0)}
    assert checks["few"].undecided
    assert checks["more"].undecided
    assert checks["many"].failed
    assert checks["held"].passed
    for check in checks.values():
        assert check.failed == (check.high < check.required)


class Half(FakeEditor):
    """Replaces what is in every other picture, and leaves the others as they are."""

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        grey = [Image.from_pixels(np.full_like(image.pixels(), 128)) for image in images]
        return GeneratedImages([(grey, images)[n % 2][n] for n in range(len(images))], [""] * len(images))


def test_undecided_checks_take_more_pictures_up_to_a_bound(discs, verifier) -> None:
    def edited(rounds: int) -> int:
        context = discs("red", editor=Half())
        verdict = verifier(context, rounds=rounds).verify(_explained("red"), context, 1)
        [check] = [check for check in verdict.checks if "replacing" in check.claim]
        assert check.undecided
        assert verdict.partly
        return sum(probe.condition == "edited" for probe in verdict.probes)

    assert edited(1) == 8
    assert edited(2) == 16


def test_displayed_numbers_never_contradict_the_rule() -> None:
    assert against_bar(Interval(0.7, 0.6, 0.7996), 0.8, percent=False)[2:] == ("0.7996", "0.8000")
    assert against_bar(Interval(0.796, 0.6, 0.9), 0.8, percent=False)[::3] == ("0.796", "0.800")
    assert against_bar(Interval(0.8, 0.6, 0.9), 0.8, percent=True) == ("80%", "60%", "90%", "80%")


@pytest.mark.parametrize(
    ("labels", "why", "condition"),
    [(["blue"], "more than other things", "positive"), (["red OR blue"], "'blue' activates", "positive")],
)
def test_failures_come_first_with_the_images_that_caused_them(discs, verifier, labels, why, condition) -> None:
    context = discs("red")
    verdict = verifier(context).verify(_explained(*labels), context, 1)
    assert verdict.checks[0].failed
    assert [check.failed for check in verdict.checks] == sorted((c.failed for c in verdict.checks), reverse=True)
    failed = [check.claim for check in verdict.checks if check.failed and why in check.claim]
    against: list[Probe] = [probe for probe in verdict.probes if probe.contradicts in failed]
    assert against
    assert all(probe.missed for probe in against)
    assert any(probe.condition == condition for probe in against)


def test_all_images_of_a_round_are_made_in_one_call(discs, verifier) -> None:
    generator = Counting()
    context = discs("red", generator=generator)
    verifier(context, left_out=0).verify(_explained("red", "blue", "green"), context, 1)
    assert generator.calls <= 3, "one per round, however many labels"


def test_the_headline_is_how_well_the_answer_predicts(discs, verifier) -> None:
    context = discs("red")
    right, wrong = (verifier(context).verify(_explained(label), context, 1) for label in ("red", "blue"))
    assert {prediction.on for prediction in right.predictions} == {"generated", "real"}
    prediction = right.predictions[0]
    assert prediction.pearson[0] > 0.9
    assert prediction.pearson[1] <= prediction.pearson[0] <= prediction.pearson[2]
    assert prediction.average_precision
    assert prediction.ceiling
    assert len(prediction.points) == prediction.images
    assert right.summary.startswith("The answer predicts")
    assert "r = " in right.line
    assert wrong.predictions[0].pearson[1] <= wrong.predictions[0].trivial
    assert not wrong.partly


def test_strengths_count_in_the_prediction(discs, verifier) -> None:
    weak = claims_of(_explained("red", "blue", strengths=(1.0, 0.4)))
    assert weak.label == "red OR blue (40%)"
    assert [claim.strength for claim in weak.each] == [1.0, 0.4]
