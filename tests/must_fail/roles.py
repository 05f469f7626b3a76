"""Broken judges, similarities, explainers, verifiers, observers and commands; `catches` names the tests that must fail.

Each has a mistake that plugins really make.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import click
import numpy as np
import pytest

from maia_core import testing
from maia_core.plugin import Explanation, hookimpl
from maia_core.testing import COLOURS, FakeCommand, FakeExplainer, FakeJudge, FakeObserver, FakeSimilarity, FakeVerifier

# --- judges ----------------------------------------------------------------------------------------------------------


class Judge(testing.JudgeSuite):
    broken: Any = FakeJudge

    @pytest.fixture
    def judge(self):
        return self.broken()


class TestJudge(Judge):
    """In order: nothing must be caught."""

    catches = ()


class TestJudgeThatRepeatsOnePrompt(Judge):
    catches = ("test_writes_as_many_different_prompts_as_asked",)

    class broken(FakeJudge):
        def write_prompts(self, label, n):
            return [label] * n


class TestJudgeThatRanksWhatFitsOnly(Judge):
    catches = ("test_ranks_every_prompt_with_the_best_first",)

    class broken(FakeJudge):
        def select(self, label, prompts):
            return super().select(label, prompts)[:1]


class TestJudgeThatPrefersTheFirst(Judge):
    catches = ("test_compares_in_both_orders",)

    class broken(FakeJudge):
        def compare(self, truth, a, b):
            return 0


class TestJudgeThatReadsTitles(Judge):
    catches = ("test_predicts_from_pixels_between_zero_and_one",)

    class broken(FakeJudge):
        def predict(self, label, images):
            return [float(image.title == label) for image in images]


class TestJudgeThatNormalises(Judge):
    """The largest of nothing."""

    catches = ("test_nothing_to_judge_gives_nothing",)

    class broken(FakeJudge):
        def predict(self, label, images):
            scores = super().predict(label, images)
            return [score / max(scores) for score in scores] if max(scores) else scores


class TestJudgeThatPreprocessesInPlace(Judge):
    catches = ("test_images_are_left_as_they_were",)

    class broken(FakeJudge):
        def predict(self, label, images):
            for image in images:
                with contextlib.suppress(ValueError):
                    image.pixels()[:2] = 7
            return super().predict(label, images)


# --- similarities ----------------------------------------------------------------------------------------------------


class Similarity(testing.SimilaritySuite):
    broken: Any = FakeSimilarity

    @pytest.fixture
    def similarity(self):
        return self.broken()


class TestSimilarity(Similarity):
    """In order: nothing must be caught."""

    catches = ()


class TestSimilarityWithTextsFirst(Similarity):
    """The transposed array, in double precision."""

    catches = ("test_scores_every_text_on_every_image", "test_no_images_or_no_texts_give_an_empty_array")

    class broken(FakeSimilarity):
        def similarity(self, images, texts):
            return super().similarity(images, texts).T.astype(np.float64)


class TestSimilarityThatIgnoresTheMask(Similarity):
    catches = ("test_masked_image_is_scored_where_it_is_bright",)

    class broken(FakeSimilarity):
        def similarity(self, images, texts):
            return super().similarity([image.clean or image for image in images], texts)


class TestSimilarityWithASoftmaxOverTheTexts(Similarity):
    catches = ("test_score_depends_on_its_image_and_text_alone",)

    class broken(FakeSimilarity):
        def similarity(self, images, texts):
            scores = np.exp(super().similarity(images, texts))
            return scores / scores.sum(1, keepdims=True)


class TestSimilarityThatFormats(Similarity):
    catches = ("test_odd_text_is_scored_or_refused",)

    class broken(FakeSimilarity):
        def similarity(self, images, texts):
            return super().similarity(images, [("a photo of " + text) % () for text in texts])


class TestSimilarityThatPreprocessesInPlace(Similarity):
    catches = ("test_images_are_left_as_they_were", "test_fingerprint_is_stable")

    class broken(FakeSimilarity):
        count = itertools.count()
        fingerprint = property(lambda self: str(next(self.count)))

        def similarity(self, images, texts):
            for image in images:
                with contextlib.suppress(ValueError):
                    (image.clean or image).pixels()[:2] = 7
            return super().similarity(images, texts)


# --- explainers ------------------------------------------------------------------------------------------------------


class Explainer(testing.ExplainerSuite):
    broken: Any = FakeExplainer

    @pytest.fixture
    def explainer(self, context):
        return self.broken(None, context)


class TestExplainer(Explainer):
    """In order: nothing must be caught."""

    catches = ()


class TestExplainerWithoutLabels(Explainer):
    catches = ("test_explanation_has_what_reports_compare",)

    class broken(FakeExplainer):
        def explain(self, unit, context):
            return Explanation(description="red discs", labels=())


class TestExplainerOfTheRunsOwnUnit(Explainer):
    catches = ("test_explains_the_unit_that_it_is_given",)

    class broken(FakeExplainer):
        def explain(self, unit, context):
            return super().explain(context.system, context)


class TestExplainerThatDraws(Explainer):
    catches = ("test_same_unit_again_gives_the_same",)
    count = itertools.count()

    class broken(FakeExplainer):
        def explain(self, unit, context):
            return Explanation(description="?", labels=(list(COLOURS)[next(TestExplainerThatDraws.count) % 6],))


# --- verifiers -------------------------------------------------------------------------------------------------------


class Verifier(testing.VerifierSuite):
    broken: Any = FakeVerifier

    @pytest.fixture
    def verifier(self, context):
        return self.broken(None, context)


class TestVerifier(Verifier):
    """In order: nothing must be caught."""

    catches = ()


class TestVerifierThatBelieves(Verifier):
    catches = (
        "test_true_label_passes_and_false_label_fails",
        "test_verdict_follows_from_its_checks_and_survives_the_record",
        "test_answer_without_labels_does_not_pass",
    )

    class broken(FakeVerifier):
        def verify(self, explanation, context, attempt):
            return super().verify(explanation, context, attempt).model_copy(update={"passed": True, "measured": True})


class TestVerifierOfTheFirstLabel(Verifier):
    catches = ("test_one_false_label_among_true_ones_fails",)

    class broken(FakeVerifier):
        def verify(self, explanation, context, attempt):
            first = explanation.model_copy(update={"labels": explanation.labels[:1]})
            return super().verify(first, context, attempt)


class TestVerifierWhoseProbesAreSorted(Verifier):
    """The activations are sorted for a plot, the images are not."""

    catches = ("test_probes_are_measured_on_the_unit",)

    class broken(FakeVerifier):
        def verify(self, explanation, context, attempt):
            verdict = super().verify(explanation, context, attempt)
            values = sorted(probe.activation for probe in verdict.probes)
            probes = [p.model_copy(update={"activation": a}) for p, a in zip(verdict.probes, values, strict=True)]
            return verdict.model_copy(update={"probes": tuple(probes)})


class TestVerifierThatAsksTheSameAgain(Verifier):
    catches = ("test_every_attempt_has_fresh_inputs",)

    class broken(FakeVerifier):
        def verify(self, explanation, context, attempt):
            return super().verify(explanation, context, 1)


class TestVerifierThatDraws(Verifier):
    catches = ("test_same_attempt_again_gives_the_same",)
    count = itertools.count()

    class broken(FakeVerifier):
        def verify(self, explanation, context, attempt):
            return super().verify(explanation, context, next(TestVerifierThatDraws.count))


# --- observers -------------------------------------------------------------------------------------------------------


class Observer(testing.ObserverSuite):
    broken: Any = FakeObserver

    @pytest.fixture
    def observer(self):
        return self.broken


class TestObserver(Observer):
    """In order: nothing must be caught."""

    catches = ()


class TestObserverWithAMisspeltArgument(Observer):
    catches = ("test_implements_hooks_with_their_own_arguments",)

    class broken:
        @hookimpl
        def turn_finished(self, session, round):
            pass


class TestObserverThatExpectsAProgramInEveryTurn(Observer):
    catches = (
        "test_run_that_answers_is_observed_without_a_fault",
        "test_run_that_fails_is_observed_without_a_fault",
    )

    class broken:
        @hookimpl
        def turn_finished(self, turn):
            assert turn.execution.seconds >= 0


# --- commands --------------------------------------------------------------------------------------------------------


class Command(testing.CommandSuite):
    broken: Any = staticmethod(FakeCommand)

    @pytest.fixture
    def command(self):
        return self.broken


class TestCommand(Command):
    """In order: nothing must be caught."""

    catches = ()


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--colour")
def silent(colour):
    pass


class TestCommandWithoutHelp(Command):
    broken = staticmethod(silent)
    catches = (
        "test_help_says_what_it_does",
        "test_every_option_has_a_help_text",
        "test_unknown_option_ends_with_code_two",
    )
