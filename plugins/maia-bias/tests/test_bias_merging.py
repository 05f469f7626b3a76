"""Findings of several runs: joined by meaning, tested on the pairs of all runs, corrected for their number."""

from __future__ import annotations

import numpy as np
import pytest

from maia_bias import Finding, findings_of
from maia_bias.answer import AnswersWithFindings
from maia_bias.drawing import Pair
from maia_bias.effects import level_of
from maia_bias.merging import merge_findings
from maia_bias.pairs import _Images, _Trial, _verdict
from maia_core.plugin import Context, Explanation, Image, RunConfig, RunOutcome, Verdict


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
    snow, red = merge_findings(runs, no_more_than_words)
    assert (snow.subgroup, snow.runs, snow.verified_in, snow.pairs) == ("on snow", 2, 2, 32)
    assert snow.effect == pytest.approx(0.45, abs=0.03)
    assert snow.low < snow.effect < snow.high
    assert (red.subgroup, red.runs, red.pairs, red.status) == ("red", 1, 16, "verified")


def test_a_lucky_run_does_not_verify_what_the_others_refute():
    runs = [run(("higher: on snow", "verified", 0.1), seed=1, spread=0.15)]
    runs += [run(("higher: on snow", "dropped", -0.03), seed=seed, spread=0.15) for seed in range(2, 6)]
    (merged,) = merge_findings(runs, no_more_than_words)
    assert (merged.status, merged.runs, merged.verified_in, merged.pairs) == ("dropped", 5, 1, 80)
    assert "the pairs of all runs do not show it" in merged.reason


def test_the_pairs_decide_the_direction():
    runs = [run(("higher: on snow", "dropped", -0.3), seed=1), run(("lower: on snow", "verified", -0.3), seed=2)]
    (merged,) = merge_findings(runs, no_more_than_words)
    assert (merged.direction, merged.status) == ("lower", "verified")


def test_the_correction_counts_the_merged_list():
    weak = ("higher: on snow", "verified", 0.05)
    alone = merge_findings([run(weak, seed=4, spread=0.08)], no_more_than_words)[0]
    among = [run(weak, *((f"higher: {c}", "dropped", 0.0) for c in ("red", "blue", "green")), seed=4, spread=0.08)]
    found = {each.subgroup: each for each in merge_findings(among, no_more_than_words)}
    assert found["on snow"].p > alone.p


def test_words_that_nobody_understands_are_joined_by_the_judge():
    runs = [run(("higher: zorbaq", "verified", 0.3), seed=1), run(("higher: zorbaqs", "verified", 0.3), seed=2)]
    assert len(merge_findings(runs, no_more_than_words)) == 2
    assert len(merge_findings(runs, lambda a, b: a.rstrip("s") == b.rstrip("s"))) == 1


def test_untested_findings_stay_untested_and_no_runs_have_none():
    (merged,) = merge_findings([run(("higher: zorbaq", "untested", 0.0), pairs=0)], no_more_than_words)
    assert (merged.status, merged.pairs, merged.effect) == ("untested", 0, None)
    assert merge_findings([], no_more_than_words) == []


def measured(
    parts: dict[str, tuple[float, float, int]],
    seed: int = 0,
    *,
    words: str = "small and on snow",
    direction: str = "higher",
    attempt: int = 1,
    subject: str = "rabbit",
    scale: float = 1.0,
) -> RunOutcome:
    """Returns the outcome of a run that tested one finding: mean difference, spread and pairs of each of its parts."""
    rng, image = np.random.default_rng(seed), Image.from_pixels(np.zeros((2, 2, 3), np.uint8))
    trial = _Trial(Finding.model_validate({"subgroup": words, "direction": direction}))
    for part, (mean, spread, pairs) in parts.items():
        trial.pairs += [Pair("a", "b", part=part)] * pairs
        trial.images += [_Images(image, image, ("a", "b"), part)] * pairs
        noise = rng.normal(0, 1, pairs)
        noise = (noise - noise.mean()) / noise.std(ddof=1)
        trial.responses += [((0.4 + mean + spread * each) * scale, 0.4 * scale) for each in noise.tolist()]
    verdict = _verdict([trial], level_of(attempt))
    details = {"subject": subject, "findings": verdict.details["findings"]}
    said = Explanation(description="", labels=("x",), details=details)
    return RunOutcome(status="answered", explanation=said, verdict=verdict)


def merged(*outcomes: RunOutcome) -> Explanation:
    """Returns what the task makes of several runs."""
    return AnswersWithFindings().merged(outcomes, Context(RunConfig()))


def test_every_part_must_hold_in_merged_findings_as_in_a_run():
    runs = [measured({"small": (0.01, 0.1, 24), "on snow": (0.4, 0.1, 24)}, seed) for seed in range(3)]
    assert findings_of(runs[0])[0].status == "dropped"
    for some in (runs[:1], runs):
        (found,) = merge_findings(some, no_more_than_words)
        assert (found.status, found.pairs, found.written) == ("dropped", 48 * len(some), 48 * len(some))
    both = [measured({"small": (0.3, 0.1, 24), "on snow": (0.4, 0.1, 24)}, seed) for seed in range(3)]
    assert merge_findings(both, no_more_than_words)[0].status == "verified"


def test_no_part_may_show_the_opposite_in_merged_findings():
    run = measured({"small": (-0.3, 0.1, 24), "on snow": (0.4, 0.1, 24)})
    (found,) = merge_findings([run], no_more_than_words)
    assert (found.status, found.direction) == ("dropped", "higher")
    assert found.reason == "the pairs of all runs show the opposite for a part of it: small"
    opposite = measured({"on snow": (-0.4, 0.1, 24)}, words="on snow")
    (found,) = merge_findings([opposite], no_more_than_words)
    assert (found.status, found.direction, found.reason) == (
        "dropped", "higher", "the pairs of all runs show the opposite",
    )  # fmt: skip


@pytest.mark.parametrize("mean", [0.3, 0.06, 0.05, 0.045, 0.03, 0.0, -0.05])
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_the_findings_of_one_run_keep_their_status_and_p(mean: float, attempt: int):
    run = measured({"": (mean, 0.1, 24)}, words="zorbaq", attempt=attempt)
    (found,), (own,) = merge_findings([run], no_more_than_words), findings_of(run)
    assert (found.status, found.direction, found.pairs) == (own.status, own.direction, own.pairs)
    assert (found.effect, found.low, found.high, found.p) == pytest.approx(
        (own.effect, own.low, own.high, own.p), abs=1e-7
    )


def test_a_difference_at_the_edge_of_chance_is_not_verified_by_merging():
    run = measured({"on snow": (0.0442, 0.1, 24)}, words="on snow")
    (found,) = merge_findings([run], no_more_than_words)
    assert found.p == pytest.approx(0.04, abs=0.005)
    assert found.status == findings_of(run)[0].status == "dropped"
    assert "at most 0.025 is needed" in found.reason


def test_classes_are_not_pooled_and_are_named():
    runs = [
        measured({"on snow": (-0.3, 0.05, 24)}, words="on snow", direction="lower", subject="penguin"),
        measured({"on snow": (0.0, 0.05, 24)}, words="on snow", direction="lower", subject="pig"),
    ]
    found = {each.subject: each for each in merge_findings(runs, no_more_than_words)}
    assert (found["penguin"].status, found["pig"].status) == ("verified", "dropped")
    assert found["penguin"].effect == pytest.approx(-0.3)
    explanation = merged(*runs)
    assert explanation.labels == ("penguin: lower if on snow",)
    assert "penguin: 1 of 1 finding verified" in explanation.description
    assert "pig: 0 of 1 finding verified" in explanation.description


@pytest.mark.parametrize("scale", [1e-7, 1e9])
def test_responses_of_any_size_are_merged_alike(scale: float):
    run = measured({"on snow": (0.3, 0.1, 24)}, words="on snow", scale=scale)
    (found,) = merge_findings([RunOutcome.model_validate_json(run.model_dump_json())], no_more_than_words)
    assert found.status == "verified"
    assert found.effect == pytest.approx(0.3 * scale)
    assert merged(run).labels == ("higher if on snow",)


def test_runs_of_other_words_for_one_attribute_are_one_part():
    runs = [
        measured({"on snow": (0.3, 0.1, 24)}, words="on snow"),
        measured({"": (0.01, 0.1, 24)}, words="zorbaq", seed=1),
    ]
    (found,) = merge_findings(runs, lambda a, b: True)
    assert (found.status, found.pairs) == ("verified", 48)


def test_merging_claims_that_nothing_tested_does_not_say_no_bias():
    claims = [{"subgroup": "on snow", "direction": "higher"}]
    said = Explanation(description="", labels=("x",), details={"subject": "rabbit", "findings": claims})
    unverified = RunOutcome(status="answered", explanation=said)
    untested = run(("higher: on snow", "untested", 0.0), pairs=0)
    for runs in ([unverified], [untested, untested], [unverified, untested, run()]):
        explanation = merged(*runs)
        assert explanation.labels == ("higher if on snow",)
        assert "Not tested: higher if on snow" in explanation.description
    assert "no run tested it" in merged(unverified).description
    assert merged(run(), run()).labels == ("no bias found",)
    assert merged(run(("higher: on snow", "dropped", 0.0), seed=3)).labels == ("no bias found",)
    strong = run(("higher: red", "verified", 0.4))
    assert merged(strong, unverified).labels == ("higher if red",)
