"""What every `maia_core.protocols.Backbone` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import ClassVar

import pytest

from maia_core.errors import BackboneError
from maia_core.image import Image
from maia_core.prompt import render_system_prompt
from maia_core.protocols import Backbone
from maia_core.replies import parse_reply
from maia_core.testing.conversation import recorded_requests
from maia_core.testing.fakes import FakeSystem, disc
from maia_core.types import BackboneInfo, CallLimits, ExecutionLimits, Message, Reply, TextPart, Usage

Heard = Callable[[Sequence[Message]], tuple[str, int]]
"""From the messages that were just sent to the text that reached the model, and how many pictures."""

QUESTION = """\
Find out what activates the unit. Send one experiment a reply:
[CODE]:
```python
def run_experiment(system, tools):
    ...
```
When you know, answer with [DESCRIPTION]: (one sentence) and [LABEL]: (a few words), and no code."""


class BackboneSuite:
    """Subclass it and return the backbone from the fixture `backbone`: a new one for each test, if it has a memory.

    Attributes:
        tags: The tags of the answer that `messages` asks for.
        well_formed: Whether every reply is a program or an answer. A small language model may fail at that; the loop
            then tells it what was expected.
        repeats: Whether a twin gives the same reply to the same messages and seed.
    """

    tags: ClassVar[tuple[str, ...]] = ("DESCRIPTION", "LABEL")
    well_formed: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    @pytest.fixture
    def backbone(self) -> Backbone:
        """The backbone under test."""
        raise NotImplementedError("override the fixture `backbone`: it returns the backbone under test")

    @pytest.fixture
    def twin(self) -> Backbone | None:
        """A second instance made in the same way, or None where that costs too much."""
        return None

    @pytest.fixture
    def messages(self) -> list[Message]:
        """How a run begins: the system message with the API, and the question."""

        def text2image(prompts: list[str]) -> list[Image]:
            """Generates one image for each prompt."""
            return [disc(prompt) for prompt in prompts]

        system = render_system_prompt(FakeSystem(), {"text2image": text2image}, ExecutionLimits())
        return [Message.of("system", system), Message.of("user", QUESTION)]

    @pytest.fixture
    def limits(self) -> CallLimits:
        """What one call may use."""
        return CallLimits()

    @pytest.fixture
    def heard(self) -> Heard | None:
        """Tells what reached the model at the last call; None where that cannot be seen."""
        return None

    def test_says_what_it_is(self, backbone: Backbone) -> None:
        assert isinstance(backbone.info, BackboneInfo)
        assert backbone.info.name.strip()
        assert BackboneInfo.model_validate_json(backbone.info.model_dump_json()) == backbone.info

    def test_replies_in_the_form_of_a_reply(
        self, backbone: Backbone, messages: list[Message], limits: CallLimits
    ) -> None:
        reply = backbone.complete(messages, limits)
        assert isinstance(reply, Reply)
        assert Reply.model_validate_json(reply.model_dump_json()) == reply
        assert reply.text.strip() or reply.stop != "end"
        self.assert_counted(reply.usage)

    def test_reply_is_a_program_or_an_answer(
        self, backbone: Backbone, messages: list[Message], limits: CallLimits
    ) -> None:
        if not self.well_formed:
            pytest.skip("it may fail at the form")
        parsed = parse_reply(backbone.complete(messages, limits).text, self.tags)
        assert parsed.program or parsed.sections

    def test_conversation_goes_on_with_results(
        self, backbone: Backbone, messages: list[Message], limits: CallLimits
    ) -> None:
        """Text, images (to a backbone that takes none, too: it must do without), masked ones, an untitled one."""
        reply = backbone.complete(messages, limits)
        results = [disc("red", 1).retitled("a red disc"), disc("blue", 2, 48)]
        shown = [*results, results[0].masked(results[0].pixels()[:, :, 0] > 200)]
        feedback = Message.of("user", "Printed:\n[3.2, 0.0]", *shown, "(turn 1 of 30)")
        assert isinstance(backbone.complete([*messages, Message.of("assistant", reply.text), feedback], limits), Reply)

    def test_conversation_may_follow_a_mistake(
        self, backbone: Backbone, messages: list[Message], limits: CallLimits
    ) -> None:
        """An empty reply of its own, an error, and two texts in one message are part of real conversations."""
        mistake = Message.of("user", "Your reply was empty.", "(turn 1 of 30)")
        assert isinstance(backbone.complete([*messages, Message.of("assistant", ""), mistake], limits), Reply)

    def test_messages_are_left_as_they_were(
        self, backbone: Backbone, messages: list[Message], limits: CallLimits
    ) -> None:
        """The conversation belongs to the session, which records it."""
        before = [message.model_dump_json() for message in messages]
        backbone.complete(messages, limits)
        assert [message.model_dump_json() for message in messages] == before

    def test_recorded_conversation_goes_in_unchanged(
        self, backbone: Backbone, limits: CallLimits, heard: Heard | None
    ) -> None:
        """What the offline laboratory's own backbone was sent: no text and no image is lost, changed or moved."""
        for messages in recorded_requests():
            before = [message.model_dump_json() for message in messages]
            assert isinstance(backbone.complete(messages, limits), Reply)
            assert [message.model_dump_json() for message in messages] == before
            if heard is None:
                continue
            text, pictures = heard(messages)
            text, place = _on_one_line(text), 0
            for part in (part for message in messages for part in message.parts if isinstance(part, TextPart)):
                line = _on_one_line(part.text)
                found = text.find(line, place)
                assert found >= 0, f"lost, changed or moved: {line[:80]!r}"
                place = found + len(line)
            assert pictures == sum(len(message.images) for message in messages) * backbone.info.images

    def test_tight_limits_end_in_a_reply_or_a_clear_error(self, backbone: Backbone, messages: list[Message]) -> None:
        with suppress(BackboneError):
            reply = backbone.complete(messages, CallLimits(max_output_tokens=1, seconds=1, seed=2**31 - 1))
            assert isinstance(reply, Reply)

    def test_twin_replies_alike(
        self, backbone: Backbone, twin: Backbone | None, messages: list[Message], limits: CallLimits
    ) -> None:
        if twin is None or not self.repeats:
            pytest.skip("no twin is given" if twin is None else "its replies are random")
        assert twin.complete(messages, limits).text == backbone.complete(messages, limits).text

    def assert_counted(self, usage: Usage) -> None:
        """Asserts that the counts of a call are possible ones."""
        assert min(usage.input_tokens, usage.output_tokens, usage.cached_tokens) >= 0
        assert usage.cost >= 0
        assert 0 <= usage.unpriced_tokens <= usage.tokens
        assert usage.cached_tokens <= usage.input_tokens, "cached tokens are part of the input tokens"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
