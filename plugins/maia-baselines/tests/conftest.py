"""A world of coloured discs, with a similarity that knows colours and a model that has one unit a colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.image import Image
from maia_core.testing import COLOURS, FakeDataset, FakeModel, FakeSystem, fake_parts, is_colour
from maia_core.types import LayerInfo, UnitInfo
from maia_exemplars import MeasuredLayer, Preprocessing

CONCEPTS = ("red", "green", "blue", "yellow", "white", "black", "purple")


class ColourSimilarity:
    """Scores a colour by its share of the image, times three, at most one."""

    fingerprint = "colours-1"

    def __init__(self) -> None:
        self.seen = 0

    def similarity(self, images: Sequence[Image], texts: Sequence[str]):
        self.seen += len(images)
        assert not any(image.title or image.provenance for image in images), "images come without names"
        rows = [[min(1.0, 3 * self._share(image, text)) for text in texts] for image in images]
        return np.asarray(rows, np.float32).reshape(len(images), len(texts))

    @staticmethod
    def _share(image: Image, text: str) -> float:
        return float(is_colour(image.pixels(), text).mean()) if text in COLOURS else 0.0


class CountingModel(FakeModel):
    """The fake model, whose units say which model they are of."""

    def __init__(self) -> None:
        super().__init__()
        self.measured = 0

    def activations(self, images, layer):
        self.measured += len(images)
        return super().activations(images, layer)

    def layers(self):
        return [LayerInfo(name="colours", units=len(COLOURS))]

    def unit(self, ref):
        unit = super().unit(ref)
        unit.model = self
        return unit


class WideModel:
    """A model of 600 units that see colours in 2 x 2 cells: more units than a prior could once be drawn from."""

    name, fingerprint, units = "wide", "wide-1", 600
    preprocess = Preprocessing(16)

    def __init__(self) -> None:
        self.weights = np.random.default_rng(5).normal(size=(3, self.units)).astype(np.float32)
        self.described = [
            MeasuredLayer(model="wide", model_fingerprint="1", layer="wide", key="wide", shape=(self.units, 2, 2))
        ]

    def cells(self, images: Sequence[Image]) -> np.ndarray:
        """Returns all maps: float32 of shape (images, units, 2, 2)."""
        return self._cells(np.stack([self.preprocess.crop(image) for image in images]))

    def _cells(self, pixels: np.ndarray) -> np.ndarray:
        means = pixels.reshape(-1, 2, 8, 2, 8, 3).mean((2, 4)).astype(np.float32) / 255
        return np.maximum(means @ self.weights, 0).transpose(0, 3, 1, 2)

    def layers(self):
        return [LayerInfo(name="wide", units=self.units, shape=(self.units, 2, 2))]

    def activations(self, images, layer):
        return self.cells(images).max((2, 3))

    def unit(self, ref):
        return WideUnit(self, int(ref.partition(":")[2]))

    def close(self):
        pass

    def measurer(self, layers):
        return WideMeasurer(self)


class WideMeasurer:
    """Hands out the maps of `WideModel`."""

    def __init__(self, model: WideModel) -> None:
        self.model, self.layers, self.preprocess = model, model.described, model.preprocess

    def read(self, pixels, receive):
        cells = self.model._cells(pixels)
        receive(0, 0, cells.max((2, 3)), cells)

    def maps(self, values, images, units):
        return values[images, units]


class WideUnit:
    """A unit of `WideModel`."""

    def __init__(self, model: WideModel, index: int) -> None:
        self.model, self.index = model, index
        self.info = UnitInfo(model="wide", layer="wide", unit=str(index))

    def neuron(self, images):
        return self.model.activations(images, "wide")[:, self.index].tolist(), list(images)


class Mixed:
    """A unit with a fingerprint and no model: a weighted sum of colours' shares, or always the same number."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self.info = UnitInfo(model="mixed", unit="-".join(weights) or "dead")
        self.fingerprint = repr(weights)
        self.measured = 0

    def neuron(self, images):
        self.measured += len(images)
        units = [(FakeSystem(FakeSystem.Config(ref=c)), w) for c, w in self.weights.items()]
        values = [sum(w * unit.neuron([image])[0][0] for unit, w in units) for image in images]
        return [float(v) for v in values], list(images)


@pytest.fixture
def similarity() -> ColourSimilarity:
    return ColourSimilarity()


@pytest.fixture
def model() -> CountingModel:
    return CountingModel()


@pytest.fixture
def wide() -> WideModel:
    return WideModel()


@pytest.fixture
def mixed() -> type[Mixed]:
    return Mixed


@pytest.fixture
def world(tmp_path: Path, similarity: ColourSimilarity) -> Callable[..., Context]:
    """Makes contexts of discs that share a cache folder; what they warn of is in `context.said`."""

    def made(unit: object = None, count: int = 90, broken: tuple[int, ...] = (), **config: object) -> Context:
        parts = fake_parts() | {
            "dataset": FakeDataset(FakeDataset.Config(count=count, broken=broken)),
            "similarity": similarity,
        }
        if unit is not None:
            parts["system"] = unit
        config.setdefault("system", PluginRef(name="discs:colours:red"))
        context = Context(RunConfig(**config), parts=parts, cache=tmp_path / "cache")
        context.said = []
        context.warn = context.said.append
        return context

    return made


@pytest.fixture
def concept_file(tmp_path: Path) -> str:
    """A concept set of colours, one that no image shows among them."""
    path = tmp_path / "concepts.txt"
    path.write_text("\n".join(CONCEPTS), encoding="utf-8")
    return str(path)
