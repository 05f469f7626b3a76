"""Rounds: what later ones ask for, and what a verdict says where no more can be asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from maia_core.image import Image
from maia_core.plugin import Explanation, Probe
from maia_core.testing import FakeDataset
from maia_exemplars import exemplar_source
from maia_stats import pearson
from maia_verify.claims import claims_of
from maia_verify.fresh import FreshImages, Group
from maia_verify.kinds import Setting
from maia_verify.options import Options
from maia_verify.prediction import Predictor, noise_ceiling
from maia_verify.real import COMPLETE, RealImages
from maia_verify.scale import ResponseScale

RED = Explanation(description="", labels=("red",))


def _dataset(count: int) -> FakeDataset:
    return FakeDataset(FakeDataset.Config(count=count))


def test_images_that_are_asked_for_but_not_measured_do_not_count(discs) -> None:
    context, options = discs("red", dataset=_dataset(240)), Options(images=8)
    images, claims, judge = FreshImages(context, 1), claims_of(RED), context.part("judge")
    exemplars, _ = exemplar_source(context, context.system).exemplars(context.system, 30)
    setting = Setting(options, context, judge, claims, images, Predictor(judge, claims), exemplars)
    setting.scale = ResponseScale(0.0, 1.0, -1.0)  # no random image is quiet
    real = RealImages(setting)
    real.ask()
    images.measure()
    before = real.usual
    real.ask()
    assert real.usual == before


def test_random_images_of_the_data_set_are_drawn_one_after_another(discs) -> None:
    images = FreshImages(discs("red", dataset=_dataset(16)), 1)
    first = images.ordinary(8)
    images.measure()
    images.measure()
    assert len({image.id for image in [*first, *images.ordinary(8)]}) == 16


def test_few_real_images_leave_all_random_ones_for_the_prediction(discs, verifier) -> None:
    context = discs("red", dataset=_dataset(240))
    verdict = verifier(context, images=8, rounds=1).verify(RED, context, 1)
    [real] = [prediction for prediction in verdict.predictions if prediction.on == "real"]
    assert real.images == 8


@pytest.fixture
def overlooking(discs):
    """Makes contexts whose judge overlooks a part of the real images that activate the unit."""

    def make(share: float, **parts):
        context = discs("red", dataset=_dataset(240), **parts)
        exemplars, _ = exemplar_source(context, context.system).exemplars(context.system, 30)
        missed = {(e.image.clean or e.image).pixels().tobytes() for e in exemplars[: round(share * 30)]}

        class Overlooks(type(context.part("judge"))):
            def predict(self, label: str, images: Sequence[Image]) -> list[float]:
                values = super().predict(label, images)
                seen = [(image.clean or image).pixels().tobytes() for image in images]
                return [0.0 if s in missed else value for s, value in zip(seen, values, strict=True)]

        return discs("red", dataset=_dataset(240), judge=Overlooks(), **parts)

    return make


def _complete(verdict):
    [check] = [check for check in verdict.checks if check.claim == COMPLETE]
    return check


def test_an_undecided_check_that_has_used_every_exemplar_does_not_count(overlooking, verifier) -> None:
    context = overlooking(0.5)
    verdict = verifier(context).verify(RED, context, 1)
    assert _complete(verdict).undecided
    assert verdict.passed, verdict.summary
    assert "does not count: every exemplar is used" in verdict.summary


def test_more_pictures_of_what_is_left_out_settle_an_undecided_check(overlooking, verifier) -> None:
    context = overlooking(0.5)
    # Each round looks at two images that the judge overlooks: one round is too few to say what is left out.
    verdict = verifier(context, left_out=2, rounds=1).verify(RED, context, 1)
    assert verdict.partly, verdict.summary
    verdict = verifier(context, left_out=2).verify(RED, context, 1)
    assert verdict.passed, verdict.summary


def test_an_undecided_check_counts_where_nothing_says_what_the_answer_leaves_out(overlooking, verifier) -> None:
    context = overlooking(0.5)
    verdict = verifier(context, left_out=0).verify(RED, context, 1)
    assert _complete(verdict).undecided
    assert verdict.partly


def test_a_failed_check_counts_although_every_exemplar_is_used(overlooking, verifier) -> None:
    context = overlooking(0.9)
    verdict = verifier(context).verify(RED, context, 1)
    assert _complete(verdict).failed
    assert verdict.partly


def test_constant_activations_of_generated_images_are_not_the_headline(discs, verifier) -> None:
    dataset, plain = _dataset(240), discs("red").system
    known = {dataset[n].pixels().tobytes() for n in range(240)}

    class OnlyReal:
        """Responds to the images of the data set only."""

        info = plain.info

        def neuron(self, images):
            values, masked = plain.neuron(images)
            real = [image.pixels().tobytes() in known for image in images]
            return [value if is_real else 0.0 for value, is_real in zip(values, real, strict=True)], masked

    context = discs("red", dataset=dataset, system=OnlyReal())
    verdict = verifier(context).verify(RED, context, 1)
    assert [prediction.on for prediction in verdict.predictions] == ["real"]
    assert not verdict.partly
    assert "Not tested: how well the answer predicts generated images" in verdict.summary


def test_a_perfect_prediction_reaches_the_noise_ceiling_also_where_few_prompts_have_replicates() -> None:
    rng, image = np.random.default_rng(0), Image.from_pixels(np.zeros((8, 8, 3), np.uint8))
    reached, ceilings = [], []
    for _ in range(50):
        # Replicated positives of a narrow range, and single controls far below them.
        true = [*rng.normal(2, 0.2, 20), *rng.normal(0, 0.2, 20)]
        groups = []
        for number, value in enumerate(true):
            noisy = value + rng.normal(0, 0.4, 2 if number < 20 else 1)
            probes = [Probe(condition="", activation=float(each), image=image) for each in noisy]
            groups.append(Group("", "", probes))
        reached.append(pearson(true, [group.mean for group in groups]))
        ceilings.append(noise_ceiling(groups))
    assert np.mean(ceilings) == pytest.approx(np.mean(reached), abs=0.01)


def test_near_misses_are_predicted_and_what_the_answer_covers_is_none(discs, verifier) -> None:
    judge = discs("red").part("judge")
    judge.write_near = lambda label, n: ["a red disc, nearly", *(f"a blue disc, near {k}" for k in range(n - 1))]
    context = discs("red", dataset=_dataset(240), judge=judge)
    verdict = verifier(context, near=5).verify(RED, context, 1)
    near = [probe.text for probe in verdict.probes if probe.condition == "near miss"]
    assert near == [f"a blue disc, near {k}" for k in range(5)]
    without = verifier(context, near=0).verify(RED, context, 1)
    assert not any(probe.condition == "near miss" for probe in without.probes)
    assert verdict.predictions[0].images == without.predictions[0].images + 5
