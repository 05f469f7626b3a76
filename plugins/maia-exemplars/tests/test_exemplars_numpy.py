"""A model that knows no torch is indexed, and its units are explained from the index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maia_core.plugin import Image, UnitInfo, UsageError, content_id
from maia_exemplars import LayerExemplars, MeasuredLayer, Preprocessing
from maia_exemplars.build import build
from maia_exemplars.counting import ArrayCounter
from maia_exemplars.folder import Index
from maia_exemplars.merge import merge
from maia_exemplars.options import Options


class Colours:
    """A measurer: `cells` is how red and how green each of 4 x 4 cells is, `mean` the same of the image."""

    preprocess = Preprocessing(16)

    def __init__(self) -> None:
        shared = {"model": "colours", "model_fingerprint": "1", "kind": "main"}
        self.layers = [
            MeasuredLayer(layer="cells", key="cells", shape=(2, 4, 4), **shared),
            MeasuredLayer(layer="mean", key="mean", shape=(2,), labels=("red", "green"), **shared),
        ]

    def read(self, pixels, receive):
        cells = pixels[..., :2].reshape(-1, 4, 4, 4, 4, 2).mean((2, 4)).transpose(0, 3, 1, 2).astype(np.float32)
        receive(0, 0, cells.max((2, 3)), cells)
        means = cells.mean((2, 3))
        if len(self.layers) > 1:
            receive(1, 0, means, means)

    def maps(self, values, images, units):
        return values[images, units]

    def counter(self, histograms):
        return ArrayCounter(histograms)

    def faster(self):
        return None

    def close(self):
        pass


class Unit:
    """A unit of `cells`."""

    info = UnitInfo(model="colours", layer="cells", unit="0")
    index = 0

    def __init__(self, measured):
        self.measured = measured

    def neuron(self, images):
        raise AssertionError("the index holds the maps of the first exemplars")


class Noise:
    """Images of coloured noise."""

    name = "noise"

    def __init__(self, count: int) -> None:
        self.ids = [f"noise {number}" for number in range(count)]
        self.fingerprint = content_id(b"noise", str(count).encode())

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        return Image.from_pixels(np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def reds(dataset: Noise) -> np.ndarray:
    """The maps of `cells:0`, of shape (images, 4, 4)."""
    pixels = np.stack([dataset[number].pixels() for number in range(len(dataset))])
    return pixels[..., 0].reshape(-1, 4, 4, 4, 4).mean((2, 4))


def test_a_model_in_numpy_is_indexed_shard_by_shard_and_merged(tmp_path):
    dataset = Noise(50)
    build(Colours(), dataset, tmp_path / "whole")
    for number, span in enumerate([(0, 20), (20, 50)]):
        build(Colours(), dataset, tmp_path / f"{number}", Options(span=span))
    merge([tmp_path / "1", tmp_path / "0"], tmp_path / "merged")
    maps = reds(dataset)
    for folder in ("whole", "merged"):
        unit = Index(tmp_path / folder).layer("cells").unit(0)
        order = np.argsort(-maps.max((1, 2)), kind="stable")[:32]
        assert unit.ids() == [f"noise {number}" for number in order]
        np.testing.assert_allclose(unit.map(0), maps[order[0]], atol=0.01)
        assert unit.threshold(0.9) == pytest.approx(np.quantile(maps, 0.9), rel=0.01)
    assert Index(tmp_path / "merged").layer("mean").unit(1).label == "green"


def test_a_run_builds_the_index_in_its_cache_and_reads_it_again(tmp_path):
    dataset, measurer = Noise(30), Colours()
    measurer.layers = measurer.layers[:1]
    for _ in range(2):
        source = LayerExemplars(measurer, dataset, cache=tmp_path, quantile=0.9, warn=pytest.fail)
        exemplars, statistics = source.exemplars(Unit(measurer.layers[0]), 5)
        assert [e.activation for e in exemplars] == pytest.approx(sorted(reds(dataset).max((1, 2)))[:-6:-1])
        assert all(0 < exemplar.image.mask().mean() < 1 for exemplar in exemplars)
        assert statistics.count == 30
        measurer.read = pytest.fail  # the second source reads the cache
    with pytest.raises(UsageError, match="these are exemplars of units of colours:cells"):
        source.exemplars(Unit(Colours().layers[1]), 5)


def test_no_module_imports_torch():
    modules = sorted(file.stem for file in Path(sys.modules["maia_exemplars"].__file__).parent.glob("*.py"))
    names = ", ".join(f"maia_exemplars.{name}" for name in modules if name != "__init__")
    code = f"import sys, {names}; print(sorted({{'torch', 'maia_torch'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
