"""Shards of one data set, measured apart and joined."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maia_core.errors import UsageError
from maia_exemplars.build import build
from maia_exemplars.folder import Index
from maia_exemplars.merge import merge
from maia_exemplars.options import Options
from maia_torch import TorchModel

LAYERS = ("cells", "mix", "fc")


@pytest.fixture
def shards(model, folder, tmp_path):
    """The whole index, and three shards: the second holds one of the unreadable images, the first the other."""
    layers = [model.layer(name) for name in LAYERS]
    build(model.measurer_of(layers), folder, tmp_path / "whole")
    spans = [(0, 13), (13, 26), (26, 40)]
    for number, span in enumerate(spans):
        build(model.measurer_of(layers), folder, tmp_path / f"part{number}", Options(span=span))
    return [tmp_path / f"part{number}" for number in range(3)]


def test_merged_shards_are_the_index_of_the_whole(shards, tmp_path):
    merge([shards[2], shards[0], shards[1]], tmp_path / "merged")
    for name in LAYERS:
        whole, merged = (Index(tmp_path / folder).layer(name) for folder in ("whole", "merged"))
        assert merged.info == whole.info
        assert merged.info.complete
        for field in ("places", "positions"):
            np.testing.assert_array_equal(merged.units[field], whole.units[field])
        for field in ("values", "lows", "mean", "squares", "quantiles", "map_high"):
            np.testing.assert_allclose(merged.units[field], whole.units[field], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(merged.sample, whole.sample, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(merged.sample_images, whole.sample_images)
        np.testing.assert_array_equal(merged.skipped, [7, 20])
        for number in range(whole.info.units):
            ours, theirs = merged.unit(number), whole.unit(number)
            assert ours.ids() == theirs.ids()
            if whole.info.has_map:
                np.testing.assert_allclose(ours.map(4), theirs.map(4), atol=1e-3)
                assert sum(merged.histogram("map", number).counts) == sum(whole.histogram("map", number).counts)
                assert ours.threshold(0.99) == pytest.approx(theirs.threshold(0.99), rel=0.01, abs=1e-4)
        merged.check()


def test_parts_may_be_merged_in_steps_and_are_incomplete_until_the_last(shards, tmp_path):
    sheets = merge(shards[::2], tmp_path / "two")
    assert sheets["mix"].ranges == ((0, 13), (26, 40))
    assert not sheets["mix"].complete
    sheets = merge([tmp_path / "two", shards[1]], tmp_path / "three")
    assert sheets["mix"].complete
    whole, merged = (Index(tmp_path / folder).layer("mix") for folder in ("whole", "three"))
    np.testing.assert_array_equal(merged.units["places"], whole.units["places"])


def test_equal_activations_of_two_shards_are_ordered_by_place(net, model, folder, tmp_path):
    with torch.no_grad():
        net.cells.weight.zero_()
    for number, span in enumerate([(20, 40), (0, 20)]):
        build(model.measurer_of([model.layer("cells")]), folder, tmp_path / f"{number}", Options(span=span, k=12))
    merge([tmp_path / "0", tmp_path / "1"], tmp_path / "merged")
    places = Index(tmp_path / "merged").layer("cells").units["places"]
    np.testing.assert_array_equal(places[0], [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12])


@pytest.mark.parametrize("precision", ["exact", "bfloat16"])
def test_a_part_without_readable_images_is_a_part(model, folder, tmp_path, shards, precision):
    layers = [model.layer(name) for name in LAYERS]
    for number, span in enumerate([(0, 7), (7, 8), (8, 13)]):
        build(model.measurer_of(layers), folder, tmp_path / f"little{number}", Options(span=span, precision=precision))
    unreadable = Index(tmp_path / "little1").layer("mix")
    unreadable.check()
    assert (unreadable.info.count, unreadable.ids(unreadable.skipped.tolist())) == (0, ["07.png"])
    with pytest.raises(UsageError, match="could be read, so it has no exemplars: join it"):
        unreadable.unit(0)
    with pytest.raises(UsageError, match="little1 could be read; add a part that has some"):
        merge([tmp_path / "little1"], tmp_path / "merged")
    merge([*(tmp_path / f"little{number}" for number in (1, 0, 2)), *shards[1:]], tmp_path / "merged")
    whole, merged = (Index(tmp_path / name).layer("mix") for name in ("whole", "merged"))
    assert merged.info.model_copy(update={"fast": ""}) == whole.info
    np.testing.assert_array_equal(merged.units["places"], whole.units["places"])
    np.testing.assert_allclose(merged.units["values"], whole.units["values"], rtol=1e-4)
    np.testing.assert_array_equal(merged.skipped, [7, 20])


def test_a_part_may_hold_no_image_of_the_sample(model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("maia_exemplars.state.sample_images", lambda *data: np.array([0, 30]))
    layers = [model.layer("mix")]
    for number, span in enumerate([(0, 5), (5, 20), (20, 40)]):
        build(model.measurer_of(layers), folder, tmp_path / f"{number}", Options(span=span))
    merge([tmp_path / f"{number}" for number in range(3)], tmp_path / "merged")
    np.testing.assert_array_equal(Index(tmp_path / "merged").layer("mix").sample_images, [0, 30])


def test_shards_in_different_precisions_give_the_same_exemplars(model, folder, tmp_path, shards):
    layers = [model.layer(name) for name in LAYERS]
    build(model.measurer_of(layers), folder, tmp_path / "fast", Options(span=(13, 26), precision="bfloat16"))
    sheets = merge([shards[0], tmp_path / "fast", shards[2]], tmp_path / "merged")
    assert sheets["mix"].fast == "bfloat16"
    whole, merged = (Index(tmp_path / name).layer("mix").units for name in ("whole", "merged"))
    np.testing.assert_array_equal(merged["places"], whole["places"])
    np.testing.assert_allclose(merged["values"], whole["values"], rtol=1e-4)


def test_what_does_not_belong_together_is_refused(shards, model, net, preprocess, folder, tmp_path):
    layers = [model.layer(name) for name in LAYERS]

    def refused(message: str, *parts) -> None:
        with pytest.raises(UsageError, match=message):
            merge(parts, tmp_path / "merged")
        assert not (tmp_path / "merged").exists()

    refused("and so does another part", shards[0], shards[0])
    build(model.measurer_of(layers), folder, tmp_path / "k", Options(span=(26, 40), k=4))
    refused(r"number of exemplars \(--k\)", shards[0], tmp_path / "k")
    build(model.measurer_of(layers[:2]), folder, tmp_path / "fewer", Options(span=(26, 40)))
    refused("no layer 'fc'", shards[0], tmp_path / "fewer")
    fewer = type(folder)(folder.files[:39])
    build(model.measurer_of(layers), fewer, tmp_path / "data", Options(span=(26, 39)))
    refused("another data set", shards[0], tmp_path / "data")
    with torch.no_grad():
        net.mix.weight *= 2
    other = TorchModel(net, preprocess, "net")
    build(other.measurer_of(layers), folder, tmp_path / "other", Options(span=(26, 40)))
    refused("another model, weights or preprocessing", shards[0], tmp_path / "other")
    refused("holds no exemplar index", tmp_path / "nothing")
    with pytest.raises(UsageError, match="has the layer cells already"):
        merge(shards, tmp_path / "whole")
