"""What the framework adds to a call of a backbone, what the context policy saves, what batches give describers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from maia_core.agent import run
from maia_core.config import Limits, RunConfig, Window
from maia_core.context import Context
from maia_core.launch import make_session
from maia_core.replay import Journal
from maia_core.testing.fakes import FAKE_RUN, ScriptedBackbone, fake_parts
from maia_core.types import BackboneInfo, CallLimits, Image, Message, Reply
from maia_vlm import ImageLimits, Picture, pack

TURNS = 30
PROGRAM = """[CODE]:
```python
def run_experiment(system, tools):
    prompts = ["a red disc"] * 5 + ["a blue disc, {turn}"] * 5
    activations, images = system.neuron(tools.text2image(prompts))
    tools.log_experiment(activations, images, prompts)
```"""


class Photographs:
    """Makes pictures of 224 pixels that compress about as badly as photographs."""

    fingerprint = "bench"

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        from maia_core.types import GeneratedImages

        images = [photograph(seed).retitled(prompt) for prompt, seed in zip(prompts, seeds, strict=True)]
        return GeneratedImages(images, [""] * len(images))


def photograph(seed: int, side: int = 224) -> Image:
    """Draws soft blobs with a little noise: 100 kB as PNG at 224 pixels, as a photograph is."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (7, 7, 3)).astype(np.float32)
    smooth = np.kron(coarse, np.ones((side // 7, side // 7, 1), np.float32))
    return Image.from_pixels(np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8))


class Counting(ScriptedBackbone):
    """Counts what a provider would be sent."""

    info = BackboneInfo(name="counting", image_tokens=765)

    def __init__(self, replies: Sequence[str]) -> None:
        super().__init__([Reply(text=reply) for reply in replies])
        self.bytes: list[int] = []
        self.images: list[int] = []

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        parts = [part for message in pack(messages, ImageLimits()) for part in message.parts]
        self.bytes.append(sum(len(p.base64) if isinstance(p, Picture) else len(p) for p in parts))
        self.images.append(sum(isinstance(p, Picture) for p in parts))
        return super().complete(messages, limits)


def window() -> None:
    """Prints bytes and tokens of a run of 30 turns with 10 images each, with the context policy and without."""
    sums = {}
    for name, policy in {"with": Window(), "without": Window(images=10_000)}.items():
        events: list[Any] = []
        with tempfile.TemporaryDirectory() as place:
            config = RunConfig(limits=Limits(turns=TURNS + 2), window=policy)
            parts = fake_parts() | {"generator": Photographs()}
            context = Context(config, parts=parts, cache=Path(place))
            session = make_session(context, Journal(events.append))
            programs = [PROGRAM.replace("{turn}", str(turn)) for turn in range(TURNS - 1)]
            backbone = Counting([*programs, FAKE_RUN[-1]])
            run(session, backbone)
            session.close()
        tokens = [event.tokens for event in events if event.event == "asked"]
        sums[name] = (sum(backbone.bytes), max(backbone.bytes), sum(tokens), max(tokens), max(backbone.images))
        total, largest, spent, most, images = sums[name]
        print(
            f"{name:8} the policy: {total / 1e6:7.1f} MB and {spent:9,} tokens in all; the largest request "
            f"{largest / 1e6:5.1f} MB, {most:7,} tokens, {images} images"
        )
    bytes_saved, _, tokens_saved, *_ = (1 - a / b for a, b in zip(sums["with"], sums["without"], strict=True))
    print(f"saved: {bytes_saved:.0%} of the bytes, {tokens_saved:.0%} of the tokens")


def main() -> None:
    """Prints the figures."""
    window()


if __name__ == "__main__":
    main()
