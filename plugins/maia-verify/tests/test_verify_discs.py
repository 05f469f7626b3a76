"""The verifier in a world where everything is known."""

from __future__ import annotations

from typing import ClassVar

import pytest

from maia_core.errors import ToolError, UsageError
from maia_core.testing import DistributionSuite, FakeDescriber, FakeEditor, FakeGenerator
from maia_core.types import Explanation, GeneratedImages


class TestDistribution(DistributionSuite):
    distribution: ClassVar[str] = "maia-verify"


def _claim(*labels: str) -> Explanation:
    return Explanation(description="The unit responds to it.", labels=labels)


def _failed(verdict):
    return [check.claim for check in verdict.checks if check.failed]


def test_a_true_claim_holds_with_effect_and_interval(discs, verifier):
    context = discs("red")
    verdict = verifier(context).verify(_claim("red"), context, 1)
    assert verdict.passed, verdict.summary
    assert all(check.low <= check.effect <= check.high for check in verdict.checks)
    positives = [probe for probe in verdict.probes if probe.condition == "positive"]
    assert len(positives) == 8 * 2
    assert len({probe.image.clean.id for probe in positives}) == len(positives), "replicates must differ"


@pytest.mark.parametrize("label", ["blue", "discs", "red OR blue"])
def test_a_wrong_an_empty_and_a_half_wrong_claim_fail(discs, verifier, label):
    context = discs("red")
    verdict = verifier(context).verify(_claim(label), context, 1)
    assert verdict.measured
    assert not verdict.passed
    assert any("more than other things" in claim for claim in _failed(verdict))
    assert "FAILS" in verdict.summary
    assert "Measured, other things:" in verdict.summary


def test_every_attempt_has_images_of_its_own_and_the_same_attempt_the_same(discs, verifier):
    context = discs("red")
    one, again, two = (verifier(context).verify(_claim("red"), context, attempt) for attempt in (1, 1, 2))
    assert one == again
    before = {probe.image.id for probe in one.probes if probe.condition == "positive"}
    assert before.isdisjoint(probe.image.id for probe in two.probes if probe.condition == "positive")
    experiment = context.generator.generate(["a red disc, picture 0"], context.seeds(["a red disc, picture 0"]))
    assert experiment.images[0].id not in {probe.image.clean.id for probe in one.probes if probe.image.clean}


class _Refusing(FakeGenerator):
    """Says of everything red that it could not be shown."""

    def generate(self, prompts, seeds):
        made = super().generate(prompts, seeds)
        return GeneratedImages(made.images, ["no red ink" if "red" in prompt else "" for prompt in prompts])


def test_what_the_generator_cannot_show_is_not_called_wrong(discs, verifier):
    context = discs("red", generator=_Refusing())
    verdict = verifier(context).verify(_claim("red"), context, 1)
    assert not verdict.measured
    assert not verdict.passed
    begin, _, end = verdict.summary.partition(" (the prompt '")
    assert begin == "It could not be tested: the generator cannot show 'red'"
    assert "': no red ink); choose another judge (--judge NAME) or generator (--generator NAME)" in end


def test_the_prompt_that_a_generator_refuses_is_named(discs, verifier):
    class Strict(FakeGenerator):
        def generate(self, prompts, seeds):
            if any("picture 1" in prompt for prompt in prompts):
                raise ToolError("no such picture")
            return super().generate(prompts, seeds)

    context = discs("red", generator=Strict())
    with pytest.raises(UsageError, match=r"refuses the prompt '.*picture 1.*: no such picture; choose another judge"):
        verifier(context).verify(_claim("red"), context, 1)


class _Idle(FakeEditor):
    """Gives the images back as they are."""

    def edit(self, images, instructions, seeds):
        return GeneratedImages([image.clean or image for image in images], [""] * len(images))


def test_what_comes_along_with_the_cause_is_told_from_it(discs, verifier):
    context = discs("red", editor=_Idle())
    verdict = verifier(context).verify(_claim("red"), context, 1)
    assert _failed(verdict) == ["replacing 'red' in a picture lowers the activation"]


class _NoEditor(FakeEditor):
    def edit(self, images, instructions, seeds):
        raise ToolError("this editor knows no such edit")


def test_an_editor_that_refuses_costs_only_its_check(discs, verifier):
    context = discs("red", editor=_NoEditor())
    verdict = verifier(context).verify(_claim("red"), context, 1)
    assert verdict.passed
    assert "Not tested: replacing 'red' in a picture (" in verdict.summary
    assert "this editor knows no such edit" in verdict.summary


def test_a_unit_that_nothing_activates_is_said_to_be_untestable(discs, verifier):
    class Silent:
        info = discs("red").system.info

        def neuron(self, images):
            return [0.0] * len(images), list(images)

    context = discs("red", system=Silent())
    verdict = verifier(context).verify(_claim("red"), context, 1)
    assert not verdict.measured
    assert "no image of the data set activates the unit" in verdict.summary


def test_an_answer_without_labels_is_untestable(discs, verifier):
    context = discs("red")
    verdict = verifier(context).verify(_claim(), context, 1)
    assert not verdict.measured


class _Spy(FakeDescriber):
    def describe(self, images):
        assert all(not image.title and not image.provenance for image in images)
        return super().describe(images)


def test_half_of_an_or_is_found_by_what_it_leaves_out(discs, verifier):
    class Either:
        """Responds to red and to blue."""

        def __init__(self, red, blue):
            self.info = red.info
            self._parts = (red, blue)

        def neuron(self, images):
            found = [part.neuron(images) for part in self._parts]
            first = [a >= b for a, b in zip(found[0][0], found[1][0], strict=True)]
            activations = [max(pair) for pair in zip(found[0][0], found[1][0], strict=True)]
            return activations, [found[0][1][n] if is_first else found[1][1][n] for n, is_first in enumerate(first)]

    system = Either(discs("red").system, discs("blue").system)
    context = discs("red", system=system, describer=_Spy())
    assert verifier(context).verify(_claim("red", "blue"), context, 1).passed
    half = verifier(context).verify(_claim("red"), context, 1)
    assert not half.passed
    open_ = [check.claim for check in half.checks if not check.passed]
    assert any("labels predict the real images" in claim or "what else" in claim for claim in open_)
    assert [probe for probe in half.probes if probe.missed], "the backbone must see what it missed"
