"""A model that knows no torch is indexed, and its units are explained from the index."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from maia_core.plugin import Image, RunError, UnitInfo, UsageError, content_id
from maia_exemplars import LayerExemplars, MeasuredLayer, Preprocessing, checkpoint
from maia_exemplars.build import build
from maia_exemplars.counting import ArrayCounter
from maia_exemplars.folder import Index, register_folder
from maia_exemplars.measured import NotFiniteError
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
        self.gain, self.offset, self.images, self.bad = 1.0, 0.0, 0, -1.0

    def read(self, pixels, receive):
        self.images += len(pixels)
        cells = pixels[..., :2].reshape(-1, 4, 4, 4, 4, 2).mean((2, 4)).transpose(0, 3, 1, 2).astype(np.float32)
        cells = (self.gain * cells + self.offset).astype(np.float32)
        receive(0, 0, cells.max((2, 3)), cells)
        means = cells.mean((2, 3))
        if self.bad in pixels[:, 0, 0, 2]:
            raise NotFiniteError("mean")
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
        measurer.images = 0
        source = LayerExemplars(measurer, dataset, cache=tmp_path, quantile=0.9, warn=pytest.fail)
        exemplars, statistics = source.exemplars(Unit(measurer.layers[0]), 5)
        assert [e.activation for e in exemplars] == pytest.approx(sorted(reds(dataset).max((1, 2)))[:-6:-1])
        assert all(0 < exemplar.image.mask().mean() < 1 for exemplar in exemplars)
        assert statistics.count == 30
        known = source.maps(Unit(measurer.layers[0]), exemplars)
        best = known[exemplars[0].image.clean.id]
        levels = np.frombuffer(base64.b64decode(best["levels"]), np.uint8).reshape(best["shape"])
        assert levels.argmax() == reds(dataset)[reds(dataset).max((1, 2)).argmax()].argmax()
        assert (levels.min(), levels.max(), len(known)) == (0, 255, 5)
    assert measurer.images == 3, "the second source reads the cache, and measures a few exemplars again"
    with pytest.raises(UsageError, match="these are exemplars of units of colours:cells"):
        source.exemplars(Unit(Colours().layers[1]), 5)


def _served(measurer, dataset, cache, warn):
    measurer.layers = measurer.layers[:1]
    source = LayerExemplars(measurer, dataset, cache=cache, quantile=0.9, warn=warn)
    return [exemplar.activation for exemplar in source.exemplars(Unit(measurer.layers[0]), 5)[0]]


@pytest.mark.parametrize("registered", [False, True])
def test_exemplars_of_another_network_with_the_same_fingerprint_are_not_shown(tmp_path, registered):
    """A hook, an attribute or a changed function decides the values, and no fingerprint sees them."""
    dataset, warnings, other = Noise(30), [], Colours()
    if registered:
        build(Colours(), dataset, tmp_path / "elsewhere")
        register_folder(tmp_path, "1", dataset.fingerprint, tmp_path / "elsewhere")
    else:
        _served(Colours(), dataset, tmp_path, pytest.fail)
    other.gain = -1.0
    for _ in range(2):
        served = _served(other, dataset, tmp_path, warnings.append)
        assert served == pytest.approx(sorted(-reds(dataset).min((1, 2)))[:-6:-1])
    assert "of another network with the fingerprint of this one (unit 0 gives" in warnings[0]
    assert len(warnings) == 1 + registered, "the index of this network is in the cache now"


def test_unfinished_build_of_another_network_is_not_resumed(tmp_path):
    dataset, other = Noise(60), Colours()

    def stop(what, done, of):
        if done >= 32:
            raise KeyboardInterrupt

    for measurer, progress in ((Colours(), stop), (other, lambda *report: None)):
        with suppress(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint.Checkpoint, "due", property(lambda self: True))
            build(measurer, dataset, tmp_path / "index", Options(unattended=True), progress=progress)
        other.gain = -1.0
    unit = Index(tmp_path / "index").layer("cells").unit(0)
    assert unit.values[:3] == pytest.approx(sorted(-reds(dataset).min((1, 2)))[:-4:-1])


def test_image_with_an_activation_that_is_not_finite_is_skipped_and_counted(tmp_path):
    dataset, measurer, warnings = Noise(40), Colours(), []
    measurer.bad = dataset[17].pixels()[0, 0, 2]
    bad = [number for number in range(40) if dataset[number].pixels()[0, 0, 2] == measurer.bad]
    build(measurer, dataset, tmp_path, warn=warnings.append)
    cells, mean = Index(tmp_path).layer("cells"), Index(tmp_path).layer("mean")
    assert (cells.info.count, cells.info.skipped) == (40, 0), "this layer is finite on all images"
    assert (mean.info.count, mean.skipped.tolist()) == (40 - len(bad), bad)
    means = reds(dataset).mean((1, 2))
    means[bad] = -1
    assert mean.unit(0).places.tolist() == np.argsort(-means, kind="stable")[:32].tolist()
    assert warnings == [
        f"layer mean gave values that are not finite on {len(bad)} images: "
        f"{', '.join(dataset.ids[number] for number in bad)}; skipped"
    ]


@pytest.mark.parametrize("name", [".building", ".building/lock", ".building/sample-0.f32", ".building/state.npz"])
@pytest.mark.parametrize("kind", ["link", "pipe", "hard link"])
def test_a_build_writes_through_no_link_and_waits_for_no_pipe(tmp_path, name, kind):
    """A folder from elsewhere may hold a link to the user's own file where the lock or the sample belongs."""
    (tmp_path / "own").mkdir()
    for file in ("lock", "sample-0.f32", "state.npz"):
        (tmp_path / "own" / file).write_bytes(b"precious")
    planted = tmp_path / "index" / name
    planted.parent.mkdir(parents=True)
    own = tmp_path / "own" / planted.name if "/" in name else tmp_path / "own"
    if kind == "link":
        planted.symlink_to(own)
    elif kind == "pipe":
        os.mkfifo(planted)
    elif own.is_dir():
        pytest.skip("a folder has no second name")
    else:
        os.link(own, planted)
    with suppress(RunError):
        build(Colours(), Noise(20), tmp_path / "index", Options(unattended=True))
    assert [file.read_bytes() for file in (tmp_path / "own").iterdir()] == [b"precious"] * 3


@pytest.mark.parametrize("offset", [0, 1000, -1000, 1e5])
def test_masks_keep_their_part_of_the_positions_whatever_offset_a_unit_has(tmp_path, offset):
    """In one build and in two shards; exemplars of a unit that is large everywhere were all dark."""
    dataset, measurer = Noise(60), Colours()
    measurer.offset = offset
    build(measurer, dataset, tmp_path / "whole")
    for number, span in enumerate([(0, 20), (20, 60)]):
        build(measurer, dataset, tmp_path / f"{number}", Options(span=span))
    merge([tmp_path / "1", tmp_path / "0"], tmp_path / "merged")
    maps = (reds(dataset) + offset).astype(np.float32)
    for folder in ("whole", "merged"):
        unit = Index(tmp_path / folder).layer("cells").unit(0)
        for quantile in (0.9, 0.95, 0.99):
            assert (maps > unit.threshold(quantile)).mean() == pytest.approx(1 - quantile, abs=0.003)
        assert (unit.map(0) > unit.threshold(0.99)).any()


def test_no_module_imports_torch():
    modules = sorted(file.stem for file in Path(sys.modules["maia_exemplars"].__file__).parent.glob("*.py"))
    names = ", ".join(f"maia_exemplars.{name}" for name in modules if name != "__init__")
    code = f"import sys, {names}; print(sorted({{'torch', 'maia_torch'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
