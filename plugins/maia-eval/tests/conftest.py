"""A small world with right answers: discs whose colour stands for a concept, and explainers that say what we like.

The unit `red` is active where a prompt shows an animal, `green` for plants, and so on: see `MEANING`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import PluginError, ToolError
from maia_core.image import Image
from maia_core.protocols import System
from maia_core.testing import COLOURS, FakeDataset, FakeModel, FakeSystem, disc, is_colour
from maia_core.types import Explanation, GeneratedImages, Usage
from maia_eval.choices import Spec
from maia_eval.explaining import Contexts
from maia_eval.predictive import Plan
from maia_judges.embedding import EmbeddingJudge
from maia_labels.prompt import parse
from maia_labels.vocabulary import vocabulary

MEANING = {"red": "animal", "green": "plant", "blue": "vehicle", "yellow": "food", "white": "person"}


class Generator:
    """Draws every prompt as a disc in the colour of its first thing's broadest concept; grey for the rest."""

    fingerprint = "meanings-1"

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.refused: Callable[[str], bool] = lambda prompt: False
        self.warned: Callable[[str], bool] = lambda prompt: False

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        if any(map(self.refused, prompts)):
            raise ToolError("the prompt is refused")
        self.drawn += prompts
        images = [disc(colour_of(prompt), seed).retitled(prompt) for prompt, seed in zip(prompts, seeds, strict=True)]
        return GeneratedImages(images, ["shows something else" if self.warned(p) else "" for p in prompts])


def colour_of(prompt: str) -> str:
    things = parse(prompt).things
    tops = vocabulary().concepts.path(things[0].concept)[-1:] if things and things[0].concept else []
    return next((colour for colour, meaning in MEANING.items() if meaning in tops), "grey")


class Similarity:
    """Knows what the discs stand for, at the broadest level."""

    fingerprint = "meanings-1"

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> NDArray[np.float32]:
        columns = [colour_of(f"a {text}") for text in texts]
        shares = {
            c: np.array([is_colour(i.pixels(), c).mean() if c in COLOURS else 0 for i in images]) for c in set(columns)
        }
        return np.array([shares[c] for c in columns], np.float32).T.reshape(len(images), len(texts))


class Describer:
    """Names what a disc stands for."""

    fingerprint = "meanings-1"

    def describe(self, images: Sequence[Image]) -> list[str]:
        found = [next((c for c in COLOURS if is_colour(i.pixels(), c).mean() > 0.02), "") for i in images]
        return [f"{MEANING.get(colour, 'nothing stands out')} (0.90); texture: smooth" for colour in found]

    def summarize(self, images: Sequence[Image]) -> str:
        return "; ".join(self.describe(images))


class Says:
    """An explainer that says what it is given, and notes when it was asked."""

    def __init__(self, labels: Mapping[str, str] | str, log: list[str], run: str = "") -> None:
        self.labels = labels
        self.log = log
        self.run = run

    def explain(self, unit: System, context: Context) -> Explanation:
        self.log.append(unit.info.ref)
        context.spend(Usage(input_tokens=10, cost=0.5))
        if not isinstance(self.labels, str) and unit.info.ref not in self.labels:
            raise ToolError(f"there is no label for {unit.info.ref}")
        label = self.labels if isinstance(self.labels, str) else self.labels[unit.info.ref]
        return Explanation(description=f"says {label}", labels=(label,), details={"run": self.run})


class Silent(FakeSystem):
    """A unit that nothing activates."""

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        return [0.0] * len(images), list(images)


class Either(FakeSystem):
    """A unit that two colours activate."""

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        parts = [FakeSystem(FakeSystem.Config(ref=colour)).neuron(images)[0] for colour in self.info.unit.split("+")]
        return [float(max(values)) for values in zip(*parts, strict=True)], list(images)


class Model(FakeModel):
    """The discs, with units of two colours (`red+blue`) and one that is never active."""

    def unit(self, ref: str) -> FakeSystem:
        if "+" in ref:
            unit = Either()
            unit.info = unit.info.model_copy(update={"unit": ref.partition(":")[2]})
            return unit
        if ref == "colours:silent":
            silent = Silent()
            silent.info = silent.info.model_copy(update={"unit": "silent"})
            return silent
        return super().unit(ref)


class World:
    """A registry of fakes, and the evaluation's parts made from it.

    Attributes:
        asked: References of the units that explainers were asked to explain, in order.
        run: The folder of a run that explanations are said to come from.
    """

    plugins: tuple[Any, ...] = ()

    def defaults_of(self, task: str) -> dict[str, Any]:
        return {}

    def __init__(self, folder: Path) -> None:
        self.cache = folder
        self.asked: list[str] = []
        self.run = ""
        self.generator = Generator()
        self.says: dict[str, Mapping[str, str] | str] = {}
        self.dataset = FakeDataset(FakeDataset.Config(count=60))

    def find(self, kind: str, name: str) -> Any:
        return SimpleNamespace(load=lambda: object) if self._factory(kind, name) else None

    def get(self, kind: str, name: str) -> Any:
        return self.find(kind, name) or SimpleNamespace(load=lambda: object)

    def without_observers(self, names: Any) -> World:
        return self

    def of_kind(self, kind: str) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.says] if kind == "explainer" else []

    def build(self, kind: str, name: str, options: Mapping[str, Any], context: Context) -> Any:
        factory = self._factory(kind, name)
        if factory is None:
            raise PluginError(f"there is no {kind} '{name}'")
        return factory(context)

    def _factory(self, kind: str, name: str) -> Callable[[Context], Any] | None:
        if kind == "explainer":
            return (lambda context: Says(self.says[name], self.asked, self.run)) if name in self.says else None
        made: dict[tuple[str, str], Callable[[Context], Any]] = {
            ("model", "discs"): lambda context: Model(),
            ("system", "synthetic"): lambda context: FakeSystem(FakeSystem.Config(ref="red")),
            ("generator", "collage"): lambda context: self.generator,
            ("dataset", "collage"): lambda context: self.dataset,
            ("similarity", "nearest"): lambda context: Similarity(),
            ("describer", "nearest"): lambda context: Describer(),
            ("judge", "embedding"): lambda context: EmbeddingJudge(EmbeddingJudge.Config(), context),
        }
        return made.get((kind, name))

    def plan(self, units: Sequence[str], explainers: Mapping[str, Mapping[str, str] | str], **changes: Any) -> Plan:
        self.says |= explainers
        config = RunConfig(seed=changes.pop("seed", 0))
        options: dict[str, Any] = {"samples": 1, "images": 30} | changes
        return Plan(
            config=config,
            specs=[Spec(alias=name, name=name) for name in explainers],
            units=[f"discs:colours:{unit}" for unit in units],
            generator=config.generator,
            same_engine=True,
            real=config.dataset,
            **options,
        )

    def contexts(self, config: RunConfig) -> Contexts:
        made = Contexts(config, self.cache / "runs", self)  # type: ignore[arg-type]
        made.main.cache = self.cache
        return made


@pytest.fixture(autouse=True)
def no_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared words tell this small world apart, and are quick."""
    monkeypatch.setattr("maia_judges.meaning.installed", lambda: None)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "cache")
