"""Sessions that share a pipeline through the batcher of maia-sweep."""

from __future__ import annotations

import contextvars
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maia_core.context import Context
from maia_diffusers.generator import DiffusersGenerator
from maia_diffusers.options import TOLERANCE
from maia_sweep.batching import BatchedGenerator


@pytest.mark.slow
def test_pixels_do_not_depend_on_what_other_sessions_draw(
    tiny: Callable[[str], Path], context: Context, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random joins of prompts, seeds and numbers of images; the tolerance is the engine's own."""
    options = {"model": str(tiny("sd")), "device": "cpu", "steps": 2, "size": 32, "batch": 8}
    engine = DiffusersGenerator(DiffusersGenerator.Config(**options), context)
    generator = BatchedGenerator(engine, context)
    sizes: list[int] = []
    draw = engine.generate
    monkeypatch.setattr(engine, "generate", lambda prompts, seeds: sizes.append(len(prompts)) or draw(prompts, seeds))
    dice = random.Random(0)
    calls = [
        ([dice.choice(["a cat", "a red car", "sky"]) for _ in seeds], seeds)
        for seeds in ([dice.randrange(1000) for _ in range(dice.randrange(1, 5))] for _ in range(16))
    ]
    with ThreadPoolExecutor(8) as sessions:
        together = list(sessions.map(lambda call: contextvars.Context().run(generator.generate, *call), calls))
    assert sum(sizes) == sum(len(seeds) for _, seeds in calls)
    assert len(sizes) < len(calls), "nothing was joined"
    assert max(sizes) <= 8
    for call, made in zip(calls, together, strict=True):
        for one, other in zip(made.images, draw(*call).images, strict=True):
            assert one.title == other.title
            assert np.abs(one.pixels().astype(int) - other.pixels().astype(int)).max() <= TOLERANCE
