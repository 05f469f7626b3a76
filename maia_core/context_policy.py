"""What of a conversation a backbone is sent: old images leave it by a stated policy, a block at a time.

`Conversation` is a fold over the events of the record: the same events always give the same messages. A run drives one
event by event; `sent_requests` makes one from a record, and yields what the backbone saw at every turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from maia_core.config import ContextPolicy
from maia_core.events import Asked, Event, HostCall, MessageAdded, Replied
from maia_core.image import Image
from maia_core.replies import program_end
from maia_core.types import BackboneInfo, ImagePart, Message, Part, TextPart

BYTES_PER_TOKEN = 3.5
"""Of English text and Python, roughly; corrected by what the backbone reports of its own counts."""

SLACK = 0.75
"""Where tokens are too many, this part of what is allowed is filled again, so that the next block is not due soon."""

BEGINNING = 2
"""The system message and the task: they never change, so that a provider's prompt cache holds."""


class Conversation:
    """The messages of a run, and which of them are sent.

    Attributes:
        messages: All messages so far; roles take turns. Images keep their titles, but not where they come from.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._images: list[tuple[int, Image]] = []  # All in order, each with the place of its message.
        self._activations: dict[str, float] = {}
        self._ranks: dict[str, int] = {}  # Of kept images, by id; a masked image and its clean one share a rank.
        self._asked: Asked | None = None
        self._correction = 1.0

    def take(self, event: Event) -> None:
        """Takes the next event of the run; those that are not part of the conversation change nothing."""
        match event:
            case MessageAdded():
                self._add(event.message)
            case Replied():
                if self._asked is not None and event.reply.usage.input_tokens:
                    counted = event.reply.usage.input_tokens / max(1.0, self._tokens(self._asked))
                    self._correction = min(4.0, max(0.25, counted))
                # Results that a model has invented behind its program would be taken for measured ones.
                self._add(Message.of("assistant", event.reply.text[: program_end(event.reply.text)]))
            case HostCall():
                for entry in event.effects.logged:
                    self._activations[entry.image.id] = entry.activation
                for activation, names in _measured(event):
                    self._activations.update(dict.fromkeys(names, activation))
                for rank, (_, image) in enumerate(event.effects.kept):
                    self._ranks.update(dict.fromkeys((image.id, (image.clean or image).id), rank))
            case Asked():
                self._asked = event

    def ask(self, turn: int, policy: ContextPolicy, info: BackboneInfo, reply_tokens: int, because: str = "") -> Asked:
        """Says what is to be sent to a backbone at a turn, so that it fits and a block leaves at a time.

        The oldest images leave first, then the exemplars, then images of the newest message; where that is not enough,
        the oldest turns as a whole.
        """
        window = info.context_tokens
        # A small window is not all for the reply.
        room = max(window - reply_tokens, window // 2, 1) if window else None
        allowed = [tokens for tokens in (policy.tokens, room, self._asked and self._asked.max_tokens) if tokens]
        asked = Asked(
            turn=turn,
            images_left_out=self._asked.images_left_out if self._asked else (),
            messages_left_out=self._asked.messages_left_out if self._asked else 0,
            max_images=policy.images if info.max_images is None else min(policy.images, info.max_images),
            max_tokens=min(allowed, default=None),
            image_tokens=info.image_tokens,
            because=because,
        )
        asked = self._without_turns(self._without_images(asked, policy))
        tokens = round(self._tokens(asked) * self._correction)
        return asked.model_copy(update={"images": len(self._kept(asked)), "tokens": tokens})

    def shorter(self, asked: Asked) -> bool:
        """Allows the next request fewer tokens than `asked` had; False if nothing more can leave."""
        if asked.messages_left_out >= self._most_left_out and not asked.images:
            return False
        self._asked = asked.model_copy(update={"max_tokens": max(1, asked.tokens // 2)})
        return True

    def sent(self, asked: Asked) -> list[Message]:
        """Returns the messages as the backbone sees them."""
        first, left_out = BEGINNING + asked.messages_left_out, set(asked.images_left_out)
        number, sent = -1, []
        for place, message in enumerate(self.messages):
            parts: list[Part] = []
            if place == first + 1 and asked.messages_left_out:
                left = f"[the first {asked.messages_left_out // 2} turns are left out, to fit into your window]"
                parts.append(TextPart(text=left))
            for part in message.parts:
                if isinstance(part, ImagePart) and (number := number + 1) in left_out:
                    part = self._stand_in(part.image)
                parts.append(part)
            if not BEGINNING <= place < first:
                sent.append(message.model_copy(update={"parts": tuple(parts)}))  # Not validated again.
        return sent

    # How it works inside.

    def _add(self, message: Message) -> None:
        """Adds a message; two user messages in a row become one, as some providers demand."""
        parts = tuple(_without_origin(part.image) if isinstance(part, ImagePart) else part for part in message.parts)
        before = self.messages.pop().parts if self.messages and self.messages[-1].role == message.role else ()
        self._images += [(len(self.messages), part.image) for part in parts if isinstance(part, ImagePart)]
        self.messages.append(Message(role=message.role, parts=before + parts))

    def _kept(self, asked: Asked) -> list[int]:
        """The numbers of the images that are sent."""
        unseen, gone = set(asked.images_left_out), range(BEGINNING, BEGINNING + asked.messages_left_out)
        return [n for n, (place, _) in enumerate(self._images) if n not in unseen and place not in gone]

    def _tokens(self, asked: Asked) -> float:
        """Estimates what is sent, before the correction."""
        first = BEGINNING + asked.messages_left_out
        messages = chain(self.messages[:BEGINNING], self.messages[first:])
        text = sum(len(part.text.encode()) for m in messages for part in m.parts if isinstance(part, TextPart))
        return text / BYTES_PER_TOKEN + len(self._kept(asked)) * asked.image_tokens

    def _excess(self, asked: Asked, images: int, share: float) -> tuple[int, float]:
        """By how many images, and by how many tokens, a request is beyond `images` and `share` of its tokens."""
        tokens = self._tokens(asked) * self._correction - asked.max_tokens * share if asked.max_tokens else 0.0
        return len(self._kept(asked)) - images, tokens

    def _without_images(self, asked: Asked, policy: ContextPolicy) -> Asked:
        if max(self._excess(asked, asked.max_images, 1.0)) <= 0:
            return asked
        pictures, kept = self._images, self._kept(asked)
        newest = len(self.messages) - 1
        shown: dict[int, int] = {}  # Rank of a kept image to the number under which it was shown first.
        for number in kept:
            if (place := self._ranks.get(pictures[number][1].id)) is not None:
                shown.setdefault(place, number)
        exemplars = {shown.get(place) for place in range(min(policy.exemplars, asked.max_images // 2))}

        def rank(number: int) -> tuple[int, int]:
            return (2 if pictures[number][0] == newest else 1 if number in exemplars else 0, number)

        block = min(policy.block, asked.max_images // 2)
        too_many, too_long = self._excess(asked, asked.max_images - block, SLACK)
        must = self._excess(asked, asked.max_images, 1.0)
        each = asked.image_tokens * self._correction
        leaving = set(asked.images_left_out)
        for gone, number in enumerate(sorted(kept, key=rank)):
            # A block of old images makes room for the turns to come; exemplars and new images leave only if they must.
            images, tokens = (too_many, too_long) if rank(number)[0] == 0 else must
            if images <= gone and tokens <= gone * each:
                break
            leaving.add(number)
        return asked.model_copy(update={"images_left_out": tuple(sorted(leaving))})

    def _without_turns(self, asked: Asked) -> Asked:
        if self._excess(asked, asked.max_images, 1.0)[1] <= 0:
            return asked
        while asked.messages_left_out < self._most_left_out and self._excess(asked, asked.max_images, SLACK)[1] > 0:
            asked = asked.model_copy(update={"messages_left_out": asked.messages_left_out + 2})
        return asked

    @property
    def _most_left_out(self) -> int:
        """How many messages may be left out: pairs, so that roles take turns, and never the newest."""
        return max(0, (len(self.messages) - BEGINNING) // 2 * 2 - 2)

    def _stand_in(self, image: Image) -> TextPart:
        activation = self._activations.get(image.id)
        measured = "" if activation is None else f", activation {activation:.4g}"
        return TextPart(text=f"[image left out: {image.title or 'untitled'}{measured}]")


def sent_requests(policy: ContextPolicy, events: Iterable[Event]) -> Iterator[tuple[Asked, list[Message]]]:
    """Yields, for every request that a record holds, what the backbone was sent."""
    conversation = Conversation()
    for event in events:
        conversation.take(event)
        if isinstance(event, Asked):
            yield event, conversation.sent(event)


def _measured(call: HostCall) -> Iterator[tuple[float, list[str]]]:
    """Yields activation and ids (a masked image's own and its clean one's) of a call that returned both, in order."""
    match call.result:
        case {"$tuple": [list(activations), list(images)]}:
            for activation, image in zip(activations, images, strict=False):
                match activation, image:
                    case int() | float(), {"$image": {"id": str(name), **rest}}:
                        clean = rest.get("clean")
                        yield activation, [name, *([str(clean["id"])] if isinstance(clean, dict) else [])]


def _without_origin(image: Image) -> ImagePart:
    return ImagePart(image=image.anonymous().retitled(image.title))
