"""Findings of several runs: joined by meaning, tested on the pairs of all runs, corrected for their number."""

from __future__ import annotations

import numpy as np
import pytest

from maia_bias import Finding
from maia_bias.merging import merge_findings
from maia_core.plugin import Explanation, RunOutcome, Verdict


def run(*findings: tuple[str, str, float], seed: int = 0, spread: float = 0.05, pairs: int = 16) -> RunOutcome:
    """Returns a run's outcome whose findings were tested on pairs with these mean differences."""
    rng = np.random.default_rng(seed)
    claims, measured = [], []
    for text, status, difference in findings:
        direction, _, subgroup = text.partition(": ")
        claims.append(Finding.model_validate({"subgroup": subgroup, "direction": direction, "status": status}))
        measured.append([[0.4 + d, 0.4] for d in rng.normal(difference, spread, pairs).tolist()])
    listed = [claim.model_dump(mode="json") for claim in claims]
    said = Explanation(description="", labels=("x",), details={"subject": "rabbit", "findings": listed})
    verdict = Verdict(passed=True, summary="", details={"findings": listed, "pairs": measured})
    return RunOutcome(status="answered", explanation=said, verdict=verdict)


def no_more_than_words(a: str, b: str) -> bool:
    return a == b


def test_findings_that_mean_the_same_are_one_with_the_pairs_of_all_runs():
    runs = [
        run(("higher: on snow", "verified", 0.5), seed=1),
        run(("higher: on snowy ground", "verified", 0.4), ("higher: red", "verified", 0.3), seed=2),
        run(seed=3),
    ]
    snow, red = merge_findings("rabbit", runs, no_more_than_words)
    assert (snow.subgroup, snow.runs, snow.verified_in, snow.pairs) == ("on snow", 2, 2, 32)
    assert snow.effect == pytest.approx(0.45, abs=0.03)
    assert snow.low < snow.effect < snow.high
    assert (red.subgroup, red.runs, red.pairs, red.status) == ("red", 1, 16, "verified")


def test_a_lucky_run_does_not_verify_what_the_others_refute():
    runs = [run(("higher: on snow", "verified", 0.1), seed=1, spread=0.15)]
    runs += [run(("higher: on snow", "dropped", -0.03), seed=seed, spread=0.15) for seed in range(2, 6)]
    (merged,) = merge_findings("rabbit", runs, no_more_than_words)
    assert (merged.status, merged.runs, merged.verified_in, merged.pairs) == ("dropped", 5, 1, 80)
    assert "the pairs of all runs do not show it" in merged.reason


def test_the_pairs_decide_the_direction():
    runs = [run(("higher: on snow", "dropped", -0.3), seed=1), run(("lower: on snow", "verified", -0.3), seed=2)]
    (merged,) = merge_findings("rabbit", runs, no_more_than_words)
    assert (merged.direction, merged.status) == ("lower", "verified")


def test_the_correction_counts_the_merged_list():
    weak = ("higher: on snow", "verified", 0.05)
    alone = merge_findings("rabbit", [run(weak, seed=4, spread=0.08)], no_more_than_words)[0]
    among = [run(weak, *((f"higher: {c}", "dropped", 0.0) for c in ("red", "blue", "green")), seed=4, spread=0.08)]
    found = {each.subgroup: each for each in merge_findings("rabbit", among, no_more_than_words)}
    assert found["on snow"].p > alone.p


def test_words_that_nobody_understands_are_joined_by_the_judge():
    runs = [run(("higher: zorbaq", "verified", 0.3), seed=1), run(("higher: zorbaqs", "verified", 0.3), seed=2)]
    assert len(merge_findings("rabbit", runs, no_more_than_words)) == 2
    assert len(merge_findings("rabbit", runs, lambda a, b: a.rstrip("s") == b.rstrip("s"))) == 1


def test_untested_findings_stay_untested_and_no_runs_have_none():
    (merged,) = merge_findings("rabbit", [run(("higher: zorbaq", "untested", 0.0), pairs=0)], no_more_than_words)
    assert (merged.status, merged.pairs, merged.effect) == ("untested", 0, None)
    assert merge_findings("rabbit", [], no_more_than_words) == []
