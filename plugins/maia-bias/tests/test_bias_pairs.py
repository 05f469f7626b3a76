"""The verifier on collages: a planted dependence is verified, the rest is dropped, or not tested with the reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from maia_bias import Finding
from maia_bias.answer import BiasAnswer
from maia_bias.findings import FINDINGS, to_json
from maia_bias.pairs import LEVEL, PAIRS, PARTS, SUBJECT, MatchedPairs
from maia_core.plugin import Context, Explanation, Image, RunConfig, UnitInfo, Verdict
from maia_stats import paired_difference

pytestmark = pytest.mark.pack


class OnBright:
    """Responds to a class on bright borders, as a classifier that has learned the background does."""

    info = UnitInfo(model="bright", layer="prob", unit="penguin", has_map=False)

    def __init__(self) -> None:
        self.calls = 0

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        self.calls += 1
        return [float(np.concatenate([i.pixels()[:8], i.pixels()[-8:]]).mean() / 255) for i in images], list(images)


class Counting:
    """Counts the calls of an engine."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.calls, self.seeds = engine, 0, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        self.calls += 1
        self.seeds += seeds
        return self.engine.generate(prompts, seeds)


class Lacking:
    """A generator that cannot show a thing in some of the prompts that name it."""

    def __init__(self, engine: Any, thing: str, shown: int = 0) -> None:
        self.engine, self.thing, self.shown = engine, thing, shown

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        made = self.engine.generate(prompts, seeds)
        naming = [n for n, prompt in enumerate(prompts) if self.thing in prompt][self.shown :]
        warnings = [f"no picture of {self.thing}" if n in naming else w for n, w in enumerate(made.warnings)]
        return made._replace(warnings=warnings)


def _explanation(*findings: Finding, subject: str = "penguin") -> Explanation:
    return Explanation(description="x", labels=("x",), details={SUBJECT: subject, FINDINGS: to_json(findings)})


def _context(**config: Any) -> Context:
    context = Context(RunConfig.model_validate(config), parts={"system": OnBright()})
    return context


SNOW = Finding(subgroup="on snow", direction="higher")


def _findings(verdict: Verdict) -> list[Finding]:
    return [Finding.model_validate(item) for item in verdict.details[FINDINGS]]  # pyright: ignore


def _verify(
    context: Context, *findings: Finding, attempt: int = 1, subject: str = "penguin", **options: Any
) -> Verdict:
    verifier = MatchedPairs(MatchedPairs.Config(pairs=16, edits=8, **options), context)
    return verifier.verify(_explanation(*findings, subject=subject), context, attempt)


def test_a_planted_dependence_holds_and_what_is_not_there_is_dropped():
    left = Finding(subgroup="on the left", direction="lower")
    asphalt = Finding(subgroup="on snow", direction="lower")
    glasses = Finding(subgroup="wearing glasses", direction="higher")
    verdict = _verify(_context(), SNOW, left, asphalt, glasses)
    snow, position, opposite, untested = _findings(verdict)
    assert snow.status == "verified"
    assert snow.low is not None
    assert 0 < snow.low < (snow.effect or 0)
    assert snow.pairs == 16
    assert (position.status, opposite.status) == ("dropped", "dropped")
    assert "do not show it" in position.reason
    assert opposite.reason == "the pairs show the opposite"
    assert untested.status == "untested"
    assert "cannot show it" in untested.reason
    assert verdict.passed
    assert verdict.line.startswith("1 of 4 findings verified by matched pairs.")
    assert "Dropped: lower if on the left" in verdict.summary
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_all_findings_share_one_generated_and_one_measured_batch():
    context = _context()
    generator = Counting(context.generator)
    context._parts["generator"] = generator
    _verify(context, SNOW, Finding(subgroup="red", direction="lower"))
    assert generator.calls == 1
    assert context.system.calls == 1


def test_seeds_are_fixed_and_not_those_of_the_runs_programs():
    seeds = []
    for attempt in (1, 1, 2):
        context = _context()
        context._parts["generator"] = generator = Counting(context.generator)
        verdict = _verify(context, SNOW, attempt=attempt)
        seeds.append(generator.seeds)
        assert not set(generator.seeds) & set(context.seeds([probe.text for probe in verdict.probes]))
    assert seeds[0] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])


def test_correction_grows_with_the_number_of_findings_and_the_attempt():
    places = ("on the left", "on the right", "at the top", "small", "red", "two penguins")
    verdict = _verify(_context(), SNOW, *(Finding(subgroup=p, direction="higher") for p in places))
    pairs: Any = verdict.details[PAIRS]
    alone = paired_difference([inside - outside for inside, outside in pairs[0]])
    assert _findings(verdict)[0].p == pytest.approx(7 * alone.p, rel=1e-3)
    dropped = _findings(_verify(_context(), Finding(subgroup="on the left", direction="lower"), attempt=2))[0]
    assert "at most 0.013 is needed" in dropped.reason


def test_pairs_of_the_record_are_an_image_and_its_edit_or_two_images():
    verdict = _verify(_context(), SNOW)
    conditions = {probe.condition for probe in verdict.probes}
    assert conditions == {"higher if on snow, in pairs"}
    inside = [probe for probe in verdict.probes if probe.text.startswith("with: ")]
    assert [probe.text.partition(":")[0] for probe in verdict.probes] == ["with", "without"] * 8
    assert {"then change the background to snow" in probe.text for probe in inside} == {True, False}
    assert len(verdict.details[PAIRS][0]) == 16  # pyright: ignore


def test_without_editor_all_pairs_are_generated():
    verdict = _verify(_context(editor="none"), SNOW)
    assert _findings(verdict)[0].status == "verified"
    assert not any("then" in probe.text for probe in verdict.probes)


def test_without_generator_or_class_nothing_is_tested_and_the_reason_is_given():
    for context, subject, why in (
        (_context(generator="none"), "penguin", "the run has no image generator"),
        (_context(), "", "the answer names no class of the model"),
        (_context(), "unicorn horn", "cannot show it"),
    ):
        verdict = _verify(context, SNOW, subject=subject)
        assert not verdict.measured
        assert why in verdict.summary


def test_an_answer_without_findings_has_nothing_to_test():
    verdict = _verify(_context())
    assert not verdict.measured
    assert verdict.line == "There is nothing to test: it claims no bias."


def test_a_judge_that_writes_pairs_is_asked():
    class Judge:
        def write_pairs(self, subject: str, subgroup: str, n: int) -> list[tuple[str, str, str]]:
            return [(f"a {subject} on snow", f"a {subject} on brick", "change the background to snow")] * n

    context = _context()
    context._parts["judge"] = Judge()
    verdict = _verify(context, Finding(subgroup="where it is cold", direction="higher"))
    assert _findings(verdict)[0].status == "verified"
    assert any("on brick" in probe.text for probe in verdict.probes)


def test_answer_model_survives_the_record():
    answer = BiasAnswer(answer="x", findings=[SNOW], subject="penguin")
    assert BiasAnswer.model_validate_json(answer.model_dump_json()) == answer


def test_a_finding_with_a_part_that_the_generator_cannot_show_is_not_tested():
    for subgroup, thing, part in (
        ("on snow or next to a mug", "mug", "next to a mug"),
        ("red and on snow", "snow", "red"),
    ):
        context = _context(editor="none")
        context._parts["generator"] = Lacking(context.generator, thing)
        verdict = _verify(
            context, Finding(subgroup=subgroup, direction="higher"), Finding(subgroup="on sand", direction="higher")
        )
        found, other = _findings(verdict)
        assert found.status == "untested"
        assert re.search(
            f"cannot show enough pairs for its part '{part}' \\(0 of 16 pairs\\): no picture of {thing}", found.reason
        )
        assert (found.pairs, found.written, other.status != "untested") == (0, 32, True)
        assert verdict.details[PAIRS][0] == verdict.details[PARTS][0] == []  # pyright: ignore


def test_every_part_of_a_finding_has_enough_pairs():
    words = "small and on snow or red and next to a mug"
    found = _findings(_verify(_context(), Finding(subgroup=words, direction="higher")))[0]
    assert (found.written, found.status != "untested") == (64, True)


def test_pairs_that_could_not_be_made_are_counted():
    context = _context(editor="none")
    context._parts["generator"] = Lacking(context.generator, "snow", shown=10)
    verdict = _verify(context, SNOW)
    found = _findings(verdict)[0]
    assert (found.pairs, found.written, found.status) == (10, 16, "verified")
    assert "10 of 16 pairs)" in verdict.summary
    context._parts["generator"] = Lacking(context.generator, "snow", shown=7)
    assert "cannot show it (7 of 16 pairs): no picture of snow" in _findings(_verify(context, SNOW))[0].reason


def test_a_verdict_records_the_part_of_each_pair_and_its_level():
    verdict = _verify(_context(), Finding(subgroup="on snow or red", direction="higher"), attempt=3)
    assert verdict.details[PARTS] == [["on snow", "red"] * 16]
    assert verdict.details[LEVEL] == pytest.approx(0.05 / 8)
