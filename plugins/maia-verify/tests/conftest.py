"""A world of coloured discs with a judge that knows its colours, and the laboratory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.image import Image
from maia_core.testing import COLOURS, FakeDescriber, FakeEditor, fake_parts
from maia_core.types import GeneratedImages
from maia_verify.verifier import HeldOut


class DiscJudge:
    """Reads the first colour of a label; "anything" is any colour. Predicts what the describer sees."""

    def write_prompts(self, label: str, n: int) -> list[str]:
        named = [colour for colour in COLOURS if colour in label]
        drawn = named or list(COLOURS)
        return [f"a {drawn[k % len(drawn)]} disc, picture {k}" for k in range(n)]

    def select(self, label: str, prompts: Sequence[str]) -> list[int]:
        named = [colour for colour in COLOURS if colour in label]
        return sorted(range(len(prompts)), key=lambda k: not any(colour in prompts[k] for colour in named))

    def compare(self, truth: str, a: str, b: str) -> int:
        return int(b == truth)

    def predict(self, label: str, images: Sequence[Image]) -> list[float]:
        assert all(not image.title and not image.provenance for image in images), "a judge sees pixels only"
        seen = FakeDescriber().describe([image.clean or image for image in images])
        return [float(any(colour in text for colour in COLOURS if colour in label)) for text in seen]


class DiscEditor(FakeEditor):
    """Replaces a disc with something that has no colour."""

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        return GeneratedImages([Image.from_pixels(np.full_like(i.pixels(), 128)) for i in images], [""] * len(images))


@pytest.fixture
def discs(tmp_path: Path) -> Callable[..., Context]:
    """Makes contexts of the world of discs; parts can be replaced."""

    def make(colour: str = "red", **parts: Any) -> Context:
        world = fake_parts(colour) | {"judge": DiscJudge(), "editor": DiscEditor()} | parts
        return Context(RunConfig(), parts=world, cache=tmp_path)

    return make


@pytest.fixture
def verifier() -> Callable[..., HeldOut]:
    """Makes the verifier of a context."""

    def make(context: Context, **options: Any) -> HeldOut:
        return HeldOut(HeldOut.Config(**options), context)

    return make


@pytest.fixture(scope="session")
def laboratory() -> Callable[[str], Context]:
    """Gives the laboratory's context on one synthetic neuron after another; its engines are built once."""
    context = Context(RunConfig())

    def at(expression: str) -> Context:
        context.restart(PluginRef(name=f"synthetic:{expression}"))
        return context

    return at
