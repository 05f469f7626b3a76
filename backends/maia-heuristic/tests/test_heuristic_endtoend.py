"""The backbone in the real loop, on a world whose truth is known."""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
from typing import Any

import pytest

from maia_core.config import PluginConfig
from maia_core.types import CallLimits, Message
from maia_heuristic.backbone import HeuristicBackbone
from maia_heuristic.knowledge import Knowledge


def labels(session: Any) -> set[str]:
    return set(session.state.answer.labels)


@pytest.fixture(scope="module")
def studied(world: Any) -> Any:
    """Returns the finished run of a unit, which the tests of this file only read: one run for all of them."""
    return functools.cache(lambda kind, truth, seed: world.study(world.FakeUnit(kind, truth), seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "truth"),
    [
        ("one", (("thing", "tiger"),)),
        ("one", (("thing", "mammal"),)),
        ("one", (("colour", "red"),)),
        ("one", (("background", "snow"),)),
        ("or", (("thing", "rodent"), ("thing", "bus"))),
        ("given", (("thing", "dog"), ("background", "snow"))),
    ],
)
def test_finds_the_truth(studied: Any, world: Any, kind: str, truth: Any) -> None:
    session = studied(kind, truth, seed=3)
    assert labels(session) == world.expected(kind, truth)
    assert not [turn for turn in session.state.turns if turn.mistake]


@pytest.mark.slow
@pytest.mark.parametrize("truth", [(("thing", "tiger"),), (("thing", "rodent"), ("thing", "bus"))])
def test_no_hypothesis_is_listed_beside_itself(studied: Any, truth: Any) -> None:
    knowledge = Knowledge()
    knowledge.learn()
    session = studied("or" if len(truth) > 1 else "one", truth, seed=3)
    for turn in session.state.turns:
        rules = [hypothesis.partition(" (")[0].split(" OR ") for hypothesis in turn.hypotheses]
        assert len({frozenset(rule) for rule in rules}) == len(rules)
        for rule in rules if turn.number > 2 else ():
            leads = rule == rules[0]
            assert leads or not any(knowledge.is_a(a, b) for a, b in itertools.permutations(rule, 2)), rule


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("one", 9), ("or", 8), ("given", 6)])
def test_finds_most_of_units_drawn_at_random(world: Any, kind: str, least: int) -> None:
    right = 0
    for seed in range(100, 110):
        truth = world.draw_truth(kind, seed)
        right += labels(world.study(world.FakeUnit(kind, truth), seed)) == world.expected(kind, truth)
    assert right >= least


@pytest.mark.slow
def test_says_when_nothing_predicts_the_unit(world: Any) -> None:
    """A unit that answers at random must not be given a reason."""
    unit = world.FakeUnit("one", (("thing", "no such thing"),), noise_level=1.0)
    session = world.study(unit)
    text = session.state.answer.description
    assert "No hypothesis predicts" in text or "weak" in text or "only" in text


@pytest.mark.slow
def test_says_when_nothing_moves_the_unit(world: Any) -> None:
    """What explains a variance of 0 must not be said to explain all of it."""
    session = world.study(world.FakeUnit("one", (("thing", "no such thing"),)))
    assert "nothing in them drives the unit" in session.state.answer.description
    assert session.state.answer.labels == ["unknown"]
    assert not any("explains 100%" in hypothesis for turn in session.state.turns for hypothesis in turn.hypotheses)


@pytest.mark.slow
def test_the_same_run_gives_the_same_replies(studied: Any, world: Any) -> None:
    first = studied("one", (("thing", "owl"),), seed=5)
    again = world.study(world.FakeUnit("one", (("thing", "owl"),)), seed=5)
    assert [turn.reply for turn in first.state.turns] == [turn.reply for turn in again.state.turns]


@pytest.mark.slow
def test_a_reply_depends_on_the_conversation_alone(studied: Any) -> None:
    """So a run that is resumed by another process goes on as it would have."""
    session = studied("one", (("thing", "owl"),), seed=5)
    messages = session.conversation.messages
    for number, message in enumerate(messages):
        if message.role == "assistant":
            fresh = HeuristicBackbone(PluginConfig(), session.context)
            assert fresh.complete(messages[:number], CallLimits(seed=5)).text == message.text


@pytest.mark.slow
def test_gives_its_answer_when_told_that_the_run_ends(world: Any) -> None:
    session = world.study(world.FakeUnit("one", (("thing", "owl"),)), turns=3)
    assert session.state.answer is not None
    assert len([turn for turn in session.state.turns if turn.program]) <= 3


@pytest.mark.slow
def test_answers_at_once_when_asked_in_the_middle(world: Any) -> None:
    session = world.make_session(world.FakeUnit("one", (("thing", "owl"),)))
    backbone = HeuristicBackbone(PluginConfig(), session.context)
    for _ in range(2):
        session.submit(backbone.complete(session.conversation.messages, CallLimits()))
    session.ask_for_answer("the time is up")
    session.submit(backbone.complete(session.conversation.messages, CallLimits()))
    assert labels(session) == {"owl"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "missing",
    [
        ("text2image", "edit_images"),
        ("edit_images",),
        ("describe_images", "summarize_images"),
        ("dataset_exemplars",),
    ],
)
def test_goes_on_with_the_tools_there_are(world: Any, missing: tuple[str, ...]) -> None:
    session = world.study(world.FakeUnit("one", (("thing", "mammal"),)), leave_out=missing)
    assert session.state.answer is not None
    assert not [t for t in session.state.turns if t.execution and t.execution.error]
    if missing == ("edit_images",):
        assert labels(session) == {"mammal"}
    if missing[0] == "text2image":
        assert "no experiment" in session.state.answer.description


@pytest.mark.slow
def test_a_generator_that_fails_on_some_prompts_is_worked_around(world: Any) -> None:
    class Broken(world.FakeGenerator):
        def one(self, prompt: str, rng: Any) -> Any:
            if "horse" in prompt or "hammer" in prompt:
                raise RuntimeError("no horses today")
            return super().one(prompt, rng)

    session = world.study(world.FakeUnit("one", (("thing", "tiger"),)), generator=Broken())
    assert labels(session) == {"tiger"}


@pytest.mark.parametrize(
    "feedback",
    [
        "",
        "Failed:\nToolError: tools.dataset_exemplars failed",
        '@@{"activations": "none", "seen": 3}',
        '@@{"activations": [null, "x", NaN, 1e999], "regions": "#x: ;;;(("}',
        "@@not json at all",
        'Note on "": \nNote on "a',
        "quantiles x at 50%, - at 75%, 1.5e at 90%;",
        "\u0000\ud7ff (turn 3 of x)",
    ],
)
def test_garbage_in_the_conversation_is_no_error(world: Any, feedback: str) -> None:
    session = world.make_session(world.FakeUnit("one", (("thing", "owl"),)))
    backbone = HeuristicBackbone(PluginConfig(), session.context)
    messages = list(session.conversation.messages)
    for _ in range(16):
        reply = backbone.complete(messages, CallLimits())
        messages += [Message.of("assistant", reply.text), Message.of("user", feedback)]
        if "[LABEL" in reply.text:
            break
    assert "[DESCRIPTION]:" in reply.text


def test_knows_neither_the_generator_nor_the_systems() -> None:
    """It sees messages; what made the images must be out of its reach."""
    code = (
        "import sys, maia_heuristic.backbone; "
        "own = {n.partition('.')[0] for n in sys.modules}; "
        "known = ('maia_core', 'maia_heuristic', 'maia_stats'); "
        "print([n for n in own if n.startswith('maia_') and n not in known], 'torch' in own)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[0] == "[] False"
