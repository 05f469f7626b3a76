"""An answer is tested before it counts: what the loop does with the verdict."""

from __future__ import annotations

import pytest

from maia_core.agent import run
from maia_core.context import Context
from maia_core.errors import PluginError
from maia_core.events import MessageAdded, Verified
from maia_core.testing import FAKE_RUN, FakeVerifier, ScriptedBackbone
from maia_core.types import Usage, Verdict
from maia_core.verification import OBJECTION, objection

WRONG = "[DESCRIPTION]: Blue discs.\n[LABEL]: blue"
GREEN = WRONG.replace("blue", "green").replace("Blue", "Green")
RIGHT = FAKE_RUN[-1]
MEASURE = FAKE_RUN[0]


def _objections(events):
    return [e.message.text for e in events if isinstance(e, MessageAdded) and OBJECTION in e.message.text]


def test_a_wrong_answer_goes_back_with_what_failed_and_a_better_one_passes(make_fake_session):
    events = []
    outcome = run(make_fake_session(record=events.append), ScriptedBackbone([MEASURE, WRONG, FAKE_RUN[1], RIGHT]))
    assert outcome.explanation.labels == ("red",)
    assert outcome.verdict.passed
    assert outcome.turns == 4
    tested = [event.verdict for event in events if isinstance(event, Verified)]
    assert [verdict.passed for verdict in tested] == [False, True]
    (objection,) = _objections(events)
    assert "'blue' activates the unit more" in objection
    assert "can be tested 2 more times" in objection


@pytest.mark.parametrize(("partly", "says"), [(True, "is only partly verified. "), (False, "failed. ")])
def test_the_message_says_whether_an_answer_failed_or_is_partly_verified(partly, says):
    """A partly verified answer is a base to refine; called failed, a backbone drops it."""
    text = objection(Verdict(passed=False, partly=partly, summary="The table."), tests_left=1).text
    assert text.startswith(f"{OBJECTION} {says}")
    assert "The table." in text


def test_an_answer_that_fails_its_last_test_stands_with_its_verdict(make_fake_session):
    events = []
    session = make_fake_session(record=events.append, limits={"verifications": 2})
    outcome = run(session, ScriptedBackbone([MEASURE, WRONG, GREEN, RIGHT]))
    assert (outcome.status, outcome.turns) == ("answered", 3)
    assert outcome.explanation.labels == ("green",), "of equally wrong ones the last"
    assert not outcome.verdict.passed
    assert len(_objections(events)) == 1


def test_a_backbone_that_insists_is_not_tested_again(make_fake_session):
    events = []
    outcome = run(make_fake_session(record=events.append), ScriptedBackbone([MEASURE, WRONG, WRONG, RIGHT]))
    assert outcome.turns == 3
    assert outcome.explanation.labels == ("blue",)
    assert not outcome.verdict.passed
    assert sum(isinstance(event, Verified) for event in events) == 1


def test_of_answers_that_all_failed_the_one_that_held_most_stands(make_fake_session):
    half = "[DESCRIPTION]: Red or blue discs.\n[LABEL 1]: red\n[LABEL 2]: blue"
    session = make_fake_session(limits={"verifications": 3})
    outcome = run(session, ScriptedBackbone([MEASURE, half, WRONG, GREEN]))
    assert outcome.explanation.labels == ("red", "blue")
    assert outcome.verdict.rank[2] == 0.5


def test_an_answer_that_was_sent_back_is_not_lost_where_no_other_comes(make_fake_session):
    outcome = run(
        make_fake_session(limits={"turns": 3}), ScriptedBackbone([MEASURE, WRONG, "I do not know.", "Nor now."])
    )
    assert outcome.status == "answered"
    assert outcome.explanation.labels == ("blue",)
    assert not outcome.verdict.passed
    assert "turns" in outcome.reason


def test_the_last_answer_of_a_run_at_its_limit_is_tested_but_not_sent_back(make_fake_session):
    outcome = run(make_fake_session(limits={"turns": 1}), ScriptedBackbone([FAKE_RUN[1], WRONG]))
    assert outcome.status == "answered"
    assert not outcome.verdict.passed


class _Broken(FakeVerifier):
    def verify(self, explanation, context, attempt):
        context.spend(Usage(output_tokens=7))
        raise PluginError("the generator is gone")


def test_an_answer_outlives_a_verifier_that_fails(make_fake_session):
    outcome = run(make_fake_session(parts={"verifier": _Broken()}), ScriptedBackbone([MEASURE, RIGHT]))
    assert outcome.status == "answered"
    assert not outcome.verdict.measured
    assert outcome.verdict.summary == "It could not be tested: the generator is gone"
    assert outcome.usage.output_tokens == (len(MEASURE) // 4) + (len(RIGHT) // 4) + 7, "what the attempt cost counts"


@pytest.mark.parametrize(
    "config", [{"verify": False}, {"task": "untested"}], ids=["--no-verify", "task without claims"]
)
def test_nothing_is_tested_where_that_is_not_asked_for(make_fake_session, config):
    events = []
    parts = {}
    if "task" in config:
        from maia_standard.tasks import NeuronDescription

        class Untested(NeuronDescription):
            verifiable = False

        parts["task"] = Untested(None, Context())
    outcome = run(make_fake_session(record=events.append, parts=parts, **config), ScriptedBackbone([MEASURE, WRONG]))
    assert outcome.verdict is None
    assert not [event for event in events if isinstance(event, Verified)]
