"""The verifier `held-out`: what a claim predicts, measured on inputs made from the claim alone."""

from __future__ import annotations

from maia_core.plugin import Explanation, Judge, RunContext, Verdict
from maia_verify.claims import claims_of
from maia_verify.options import Options
from maia_verify.trial import Trial, has
from maia_verify.wording import summary

SETTLED = (
    "every exemplar is used, and the labels leave out nothing that activates the unit "
    "(to count more images, set -o verifier.images)"
)
"""Why an undecided check does not hold an answer back."""


class HeldOut:
    """Measures how well an answer predicts fresh images, and diagnoses it with checks.

    An answer is verified if the lower bound of its prediction beats the best trivial label, and every check holds. If
    it predicts, and a check fails or stays undecided, it is partly verified. A completeness check that has used every
    exemplar does not count while it is undecided, if what the labels leave out does not activate the unit.
    """

    Config = Options

    def __init__(self, config: Options, context: RunContext) -> None:
        self._config = config
        self._judge: Judge = context.part("judge")
        self.uses = ("generator", *(engine for engine in ("editor", "describer") if has(context, engine)))

    def verify(self, explanation: Explanation, context: RunContext, attempt: int) -> Verdict:
        """See `maia_core.protocols.Verifier`."""
        claims = claims_of(explanation)
        trial = Trial(self._config, self._judge, context, attempt, claims)
        if claims.each:
            trial.run()
        if not trial.checks:
            why = "; ".join(trial.untested) or "the answer names nothing"
            return Verdict(passed=False, measured=False, summary=f"It could not be tested: {why}.", notes=claims.notes)
        first = next((made for made in trial.predictions if made.on == "generated"), None)
        predicts = first is not None and first.pearson[1] > first.trivial
        notes = [f"The undecided check '{check.claim}' does not count: {SETTLED}." for check in trial.excused]
        verdict = Verdict(
            passed=predicts and trial.holds,
            partly=predicts and not trial.holds,
            predictions=tuple(trial.predictions),
            checks=tuple(sorted(trial.checks, key=lambda check: (not check.failed, not check.undecided))),
            notes=(*claims.notes, *notes),
            summary="",
            probes=trial.probes,
        )
        return verdict.model_copy(update={"summary": summary(verdict, trial.images.groups, trial.untested)})
