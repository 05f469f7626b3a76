"""Engines of other authors that return a wrong number of results: the error names them."""

from __future__ import annotations

import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from maia_core.errors import PluginError
from maia_core.plugin import Context, Image, RunConfig
from maia_core.registry import Registry, installed

ACME = """
import numpy as np
from maia_core.testing import FakeDescriber, FakeGenerator

class Generator(FakeGenerator):
    def __init__(self, config, context):
        super().__init__()
    def generate(self, prompts, seeds):
        return super().generate(prompts[1:], seeds[1:])

class Describer(FakeDescriber):
    def __init__(self, config, context):
        super().__init__()
    def describe(self, images):
        return None

class Engine:
    fingerprint = "acme"
    def __init__(self, config, context): pass
    def edit(self, images, instructions, seeds):
        return Generator(None, None).generate(instructions, seeds)
    def similarity(self, images, texts):
        return np.zeros((len(images) + 1, len(texts)), np.float32)
    def predict(self, label, images):
        return [0.5]
    def activations(self, images, layer):
        return np.zeros((1, 9), np.float32)
"""
ENTRIES = """
[maia.generators]
acme = acme_counts:Generator
[maia.describers]
acme = acme_counts:Describer
[maia.editors]
acme = acme_counts:Engine
[maia.similarities]
acme = acme_counts:Engine
[maia.judges]
acme = acme_counts:Engine
[maia.models]
acme = acme_counts:Engine
"""


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    (tmp_path / "acme_counts.py").write_text(ACME)
    metadata = tmp_path / "acme_counts-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-counts\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_counts", raising=False)
    registry = Registry([*distributions(path=[str(tmp_path)])])
    registry.plugins += [plugin for plugin in installed().plugins if plugin.kind == "observer"]
    return Context(RunConfig(), registry, cache=tmp_path / "cache")


IMAGES = [Image.from_pixels(np.full((9, 9, 3), value, np.uint8)) for value in (1, 2)]


@pytest.mark.parametrize(
    ("kind", "method", "arguments", "fault"),
    [
        ("generator", "generate", (["a", "b"], [1, 2]), "returned 1 results for 2 inputs"),
        ("editor", "edit", (IMAGES, ["a", "b"], [1, 2]), "returned 1 results for 2 inputs"),
        ("describer", "describe", (IMAGES,), "returned a NoneType"),
        ("similarity", "similarity", (IMAGES, ["a"]), "returned 3 results for 2 inputs"),
        ("judge", "predict", ("a dog", IMAGES), "returned 1 results for 2 inputs"),
        ("model", "activations", (IMAGES, "layer"), "returned 1 results for 2 inputs"),
    ],
)
def test_the_plugin_and_its_distribution_are_named(
    context: Context, kind: str, method: str, arguments: tuple[Any, ...], fault: str
) -> None:
    part = context.build(kind, "acme")
    with pytest.raises(PluginError) as error:
        getattr(part, method)(*arguments)
    assert str(error.value) == f"{kind} 'acme' (acme-counts 1.0) failed in {method}: it {fault}"


def test_arguments_by_name_may_come_in_any_order(context: Context) -> None:
    judge = context.build("judge", "acme")
    with pytest.raises(PluginError, match="returned 1 results for 2 inputs"):
        judge.predict(images=IMAGES, label="a dog")
    assert judge.predict(images=IMAGES[:1], label="a dog") == [0.5]


def test_an_engine_that_is_a_pydantic_model_is_built(context: Context) -> None:
    class Judge(BaseModel):
        fingerprint: str = "acme"

        def predict(self, label: str, images: list[Image]) -> list[float]:
            return [0.5 for _ in images]

    part = context.observers.wrap(Judge(), kind="judge", name="acme", context=context)
    assert context.observers.take_problems() == []
    assert part.predict("a dog", IMAGES) == [0.5, 0.5]
