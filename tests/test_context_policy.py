"""Which part of a conversation a backbone is sent."""

import itertools

import pytest

from maia_core.agent import run
from maia_core.config import ContextPolicy
from maia_core.context_policy import Conversation, sent_requests
from maia_core.errors import ContextTooLong
from maia_core.events import Asked, MessageAdded, Replied
from maia_core.testing import FAKE_RUN, ScriptedBackbone, disc
from maia_core.types import BackboneInfo, Message, Reply, Usage

ANSWER = FAKE_RUN[-1]


def _program(body: str) -> str:
    return f"[CODE]:\n```python\ndef run_experiment(system, tools):\n    {body}\n```"


EXEMPLARS = _program(
    "a, images = tools.dataset_exemplars(system); tools.log_experiment(a, images, [i.title for i in images])"
)


def _ten_images(turn: int) -> str:
    body = f"images = tools.text2image(['a red disc'] * 4 + ['a blue disc, {turn}'] * 6); "
    body += "values, masked = system.neuron(images); tools.display(*masked)"
    return _program(body)


def _uncounted(replies):
    """Replies of a backbone that counts no tokens."""
    return [Reply(text=reply) for reply in replies]


LONG_RUN = [EXEMPLARS, *map(_ten_images, range(2, 30)), ANSWER]


class Picky(ScriptedBackbone):
    """Refuses what a provider would refuse."""

    def __init__(self, replies, max_images, **info):
        super().__init__(_uncounted(replies))
        self.info = BackboneInfo(name="picky", max_images=max_images, **info)

    def complete(self, messages, limits):
        assert sum(len(message.images) for message in messages) <= self.info.max_images
        return super().complete(messages, limits)


@pytest.fixture
def long_run(make_fake_session):
    """A run of 30 turns with ten images each, on a model that takes 50: what it saw, and the record."""
    events = []
    backbone = Picky(LONG_RUN, 50)
    session = make_fake_session(record=events.append, context_policy={"images": 100, "block": 20})
    assert run(session, backbone).status == "answered"
    return backbone.seen, events


def test_thirty_turns_of_ten_images_stay_inside_the_window(long_run):
    seen, events = long_run
    asked = [event for event in events if isinstance(event, Asked)]
    assert len(asked) == 30
    assert [event.images for event in asked] == [sum(len(m.images) for m in messages) for messages in seen]
    assert max(event.images for event in asked) <= 50
    assert max(event.images_left_out[-1] for event in asked[-1:]) > 200, "most of the images were left out by then"
    assert asked[-1].tokens < 2.5 * asked[4].tokens


def test_what_was_sent_is_a_function_of_the_record(long_run):
    seen, events = long_run
    policy = ContextPolicy(images=100, block=20)
    assert [messages for _, messages in sent_requests(policy, events)] == seen
    conversation = Conversation()
    info = BackboneInfo(name="picky", max_images=50)
    for event in events:
        if isinstance(event, Asked):
            assert conversation.ask(event.turn, policy, info, 4096) == event
        conversation.take(event)


def test_prompt_cache_breaks_once_a_block(long_run):
    """What a turn was sent is the beginning of what the next one is sent, but for one turn in a block of images."""
    seen, _ = long_run
    broken = [turn for turn, (one, two) in enumerate(itertools.pairwise(seen)) if two[: len(one)] != one]
    assert 0 < len(broken) <= (15 + 28 * 10) // 20
    assert all(messages[:2] == seen[0] for messages in seen), "system prompt and task never change"


def test_best_exemplars_and_newest_images_stay_and_others_leave_their_activation(long_run):
    seen, _ = long_run
    kept = [image.title for message in seen[-1] for image in message.images]
    assert [title for title in kept if title.startswith("exemplar")] == [f"exemplar {n}" for n in range(1, 5)]
    assert len(seen[-1][-1].images) == 10
    text = "\n".join(message.text for message in seen[-1])
    assert "[image left out: a blue disc, 3, activation 0]" in text
    assert "[image left out: a red disc, activation " in text


def test_one_message_with_more_images_than_the_model_takes_keeps_its_newest(make_fake_session):
    many = _program("tools.display(*tools.text2image([f'a red disc {n}' for n in range(30)]))")
    backbone = Picky([EXEMPLARS, many, ANSWER], 20)
    assert run(make_fake_session(), backbone).status == "answered"
    newest = [image.title for image in backbone.seen[-1][-1].images]
    assert newest == [f"a red disc {n}" for n in range(10, 30)]


def test_long_texts_leave_by_whole_turns(make_fake_session):
    prints = [_program(f"tools.text2image(['red']); print('line {turn} ' * 900)") for turn in range(1, 12)]
    backbone = Picky([*prints, ANSWER], 10, context_tokens=16_000)
    session = make_fake_session(limits={"reply_tokens": 1000})
    assert run(session, backbone).status == "answered"
    first, last = backbone.seen[0], backbone.seen[-1]
    assert last[:2] == first
    assert [m.role for m in last[2:]] == ["assistant", "user"] * ((len(last) - 2) // 2)
    assert "turns are left out" in last[3].text
    assert "line 11" in last[-1].text
    assert sum(len(m.text) for m in last) / 3.5 < 15_000


class Small(ScriptedBackbone):
    """A model with a window that it does not tell of."""

    window = 30_000

    def __init__(self, replies):
        super().__init__(_uncounted(replies))

    def complete(self, messages, limits):
        if sum(len(message.text) + 1000 * len(message.images) for message in messages) > self.window:
            raise ContextTooLong("too long for this model")
        return super().complete(messages, limits)


def test_conversation_that_a_model_finds_too_long_is_shortened(make_fake_session):
    events = []
    session = make_fake_session(record=events.append)
    outcome = run(session, Small([EXEMPLARS, *map(_ten_images, range(2, 6)), ANSWER]))
    assert outcome.status == "answered", outcome.reason
    assert "too long for this model" in [event.because for event in events if isinstance(event, Asked)]


def test_conversation_that_cannot_be_shortened_ends_the_run_with_the_setting_to_change(make_fake_session):
    backbone = Small([ANSWER])
    backbone.window = 10
    outcome = run(make_fake_session(), backbone)
    assert outcome.status == "failed"
    assert "too long" in outcome.reason


def test_estimate_follows_what_the_backbone_counts():
    conversation = Conversation()
    info, policy = BackboneInfo(name="m", image_tokens=100), ContextPolicy()
    conversation.take(MessageAdded(message=Message.of("user", "x" * 3500, disc("red"))))
    first = conversation.ask(1, policy, info, 100)
    assert first.tokens == 1100
    conversation.take(first)
    conversation.take(Replied(turn=1, reply=Reply(text="", usage=Usage(input_tokens=2200)), seconds=0))
    assert conversation.ask(2, policy, info, 100).tokens == 2200


@pytest.mark.parametrize(("window", "room"), [(100_000, 96_000), (4096, 2048), (1000, 500)])
def test_small_window_is_shared_by_conversation_and_reply(window, room):
    conversation = Conversation()
    conversation.take(MessageAdded(message=Message.of("user", "x")))
    info = BackboneInfo(name="m", context_tokens=window)
    assert conversation.ask(1, ContextPolicy(), info, reply_tokens=4000 if window > 4096 else 4096).max_tokens == room
