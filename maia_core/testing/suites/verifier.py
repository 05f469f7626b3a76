"""The promises of every `maia_core.plugin.Verifier`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from maia_core.plugin import Context, Explanation, Registry, Verdict, Verifier
from maia_core.testing.fakes import fake_parts


def explanation(*labels: str) -> Explanation:
    """Returns the explanation that a unit responds to `labels`."""
    return Explanation(description="what activates the unit", labels=labels)


class VerifierSuite:
    """Subclass it and return the verifier from the fixture `verifier`, made with the fixture `context`.

    Attributes:
        true: A label that the unit of `context` fits.
        false: A label that it does not fit.
    """

    true: ClassVar[str] = "red"
    false: ClassVar[str] = "blue"

    @pytest.fixture
    def verifier(self, context: Context) -> Verifier:
        """The verifier under test."""
        raise NotImplementedError("override the fixture `verifier`: it returns the verifier under test")

    @pytest.fixture
    def context(self, tmp_path: Path) -> Context:
        """A run on fakes whose unit responds to red."""
        return Context(registry=Registry([]), parts=fake_parts(), cache=tmp_path / "cache")

    def test_true_label_passes_and_false_label_fails(self, verifier: Verifier, context: Context) -> None:
        assert verifier.verify(explanation(self.true), context, 1).passed
        assert not verifier.verify(explanation(self.false), context, 1).passed

    def test_one_false_label_among_true_ones_fails(self, verifier: Verifier, context: Context) -> None:
        assert not verifier.verify(explanation(self.true, self.false), context, 1).passed

    def test_verdict_follows_from_its_checks_and_survives_the_record(
        self, verifier: Verifier, context: Context
    ) -> None:
        for label in (self.true, self.false):
            verdict = verifier.verify(explanation(label), context, 1)
            assert isinstance(verdict, Verdict)
            assert verdict.checks
            assert verdict.passed == all(check.passed for check in verdict.checks)
            assert verdict.summary.strip()
            assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict

    def test_probes_are_measured_on_the_unit(self, verifier: Verifier, context: Context) -> None:
        probes = verifier.verify(explanation(self.true), context, 1).probes
        assert probes
        measured, _ = context.system.neuron([probe.image for probe in probes])
        assert [probe.activation for probe in probes] == pytest.approx(measured, rel=1e-3)

    def test_every_attempt_has_fresh_inputs(self, verifier: Verifier, context: Context) -> None:
        """Otherwise the backbone fits its second answer to the images that refuted its first."""
        first, second = (verifier.verify(explanation(self.true), context, attempt).probes for attempt in (1, 2))
        assert {probe.image.id for probe in first} != {probe.image.id for probe in second}

    def test_same_attempt_again_gives_the_same(self, verifier: Verifier, context: Context) -> None:
        """A resumed run repeats its verdicts."""
        first, again = (verifier.verify(explanation(self.true), context, 1).probes for _ in range(2))
        assert [probe.image.id for probe in first] == [probe.image.id for probe in again]

    def test_answer_without_labels_does_not_pass(self, verifier: Verifier, context: Context) -> None:
        verdict = verifier.verify(explanation(), context, 1)
        assert not verdict.passed
        assert not verdict.measured
