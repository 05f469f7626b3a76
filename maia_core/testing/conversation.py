"""A recorded conversation of the offline laboratory, for backbones to be sent.

It holds the messages of `maia run --system synthetic:tiger -o limits.turns=6`: all texts, with generated images in the
place of the pictures.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from maia_core.config import ContextPolicy
from maia_core.context_policy import Conversation
from maia_core.events import MessageAdded, Replied
from maia_core.image import Image
from maia_core.testing.fakes import photograph
from maia_core.types import BackboneInfo, Message, Reply

RECORDED = Path(__file__).parent / "data" / "conversation.json"
POLICY = ContextPolicy(tokens=6500)
INFO = BackboneInfo(name="recorded", image_tokens=20)
"""Every backbone is sent the same, whatever it can do."""

SHORT = (2, 5)
"""The turns whose requests a small local model reads in seconds."""


def recorded_requests() -> list[list[Message]]:
    """Returns what a backbone with a small window is sent at two turns of the run.

    One has masked exemplars; before the other, images and whole turns have left the conversation.
    """
    messages = [Message.model_validate(message) for message in json.loads(RECORDED.read_text(encoding="utf-8"))]
    conversation, requests = Conversation(), []
    for place, message in enumerate(messages):
        turn = (place + 1) // 2
        for image in message.images:
            _with_pixels(image)
        if message.role == "assistant":
            conversation.take(Replied(turn=turn, reply=Reply(text=message.text), seconds=0))
            continue
        conversation.take(MessageAdded(message=message))
        if message.role == "user":
            asked = conversation.ask(turn, POLICY, INFO, reply_tokens=1024)
            conversation.take(asked)
            if turn in SHORT:
                requests.append(conversation.sent(asked))
    return requests


def _with_pixels(image: Image) -> None:
    if image.clean is None:
        seed, side = int(image.id[:8], 16), image.width
        image.bind(lambda: photograph(seed, side).pixels())
        return
    _with_pixels(image.clean)
    mask = np.zeros((image.height, image.width), bool)
    mask[image.height // 4 : image.height // 2] = True
    image.bind(lambda: mask)
