"""A describer that asks a model: here one that really looks at the pixels it is handed."""

import numpy as np
import pytest

from maia_core.errors import ContextTooLong
from maia_core.testing import DescriberSuite, disc
from maia_core.types import Message, Reply
from maia_vlm import ChatDescriber, with_descriptions


class Eye:
    """Answers with the mean colour of what it is shown, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, conversations):
        self.asked += conversations
        return [Reply(text=self.answer(conversation)) for conversation in conversations]

    def answer(self, conversation):
        images = [image for message in conversation for image in message.images]
        means = [np.round(image.pixels().mean(axis=(0, 1))).astype(int).tolist() for image in images]
        return f"mean colours\n{means} " + conversation[-1].text[-200:] * (not images)


class TestChatDescriber(DescriberSuite):
    @pytest.fixture
    def describer(self):
        return ChatDescriber(Eye(), "eye")


class TestChatDescriberOfSingleImages(DescriberSuite):
    @pytest.fixture
    def describer(self):
        return ChatDescriber(Eye(), "eye", max_images=1)


def test_each_image_is_asked_about_alone_and_once():
    eye = Eye()
    describer = ChatDescriber(eye, "eye")
    red, blue = disc("red", 1).retitled("a red hypothesis"), disc("blue", 2)
    describer.describe([red, blue, red])
    describer.describe([blue])
    assert [[len(message.images) for message in conversation] for conversation in eye.asked] == [[1], [1]]
    assert "hypothesis" not in "".join(message.model_dump_json() for asked in eye.asked for message in asked)


@pytest.mark.parametrize("reply", [Reply(text=""), Reply(text="No.", stop="refusal"), Reply(text="very " * 999)])
def test_empty_refused_and_endless_answers_become_a_line(reply):
    [text] = ChatDescriber(lambda conversations: [reply] * len(conversations), "m").describe([disc("red")])
    assert 0 < len(text) <= 500
    assert "No." not in text


@pytest.mark.parametrize("passing", [Reply(text=""), Reply(text="No.", stop="refusal")])
def test_a_passing_refusal_is_not_remembered(passing):
    replies = [passing, Reply(text="a red disc"), passing, Reply(text="discs")]
    describer = ChatDescriber(lambda conversations: [replies.pop(0)], "m")
    image = disc("red")
    assert describer.describe([image, image]) == [describer.refusal] * 2
    assert [describer.describe([image]) for _ in range(2)] == [["a red disc"]] * 2
    assert describer.summarize([image, image]) == describer.refusal
    assert [describer.summarize([image, image]) for _ in range(2)] == ["discs"] * 2


def test_summary_of_more_images_than_fit_is_made_of_their_descriptions():
    eye = Eye()
    ChatDescriber(eye, "eye", max_images=2).summarize([disc("red", n) for n in range(3)])
    assert [sum(len(message.images) for message in asked) for asked in eye.asked] == [1, 1, 1, 0]
    assert eye.asked[-1][0].text.count("- mean colours") == 3


def test_summary_that_does_not_fit_the_window_is_made_of_descriptions():
    """Fifteen exemplars are more than a model with a window of 4096 tokens sees at once."""
    eye = Eye()

    def ask(conversations):
        if sum(len(message.images) for message in conversations[0]) > 2:
            raise ContextTooLong("too many images")
        return eye(conversations)

    images = [disc("red", n) for n in range(3)]
    assert ChatDescriber(ask, "eye").summarize(images)
    assert eye.asked[-1][0].text.count("- mean colours") == 3


def test_model_that_sees_nothing_reads_descriptions():
    image = disc("red").retitled("exemplar 1")
    describer = ChatDescriber(Eye(), "eye")
    [message] = with_descriptions([Message.of("user", "Displayed:", image, image)], describer)
    assert not message.images
    assert message.text.count("you cannot see it") == 2
    assert describer.describe([image])[0] in message.text


@pytest.mark.parametrize("active", [True, False])
def test_a_model_is_told_of_a_dark_part_only_where_there_is_one(active):
    eye = Eye()
    mask = np.zeros((32, 32), np.bool_)
    mask[:8] = active
    ChatDescriber(eye, "eye").describe([disc("red").masked(mask)])
    assert ("darkened" in eye.asked[0][-1].text) == active
