"""Exemplars and thresholds of all units from one pass, and their cache."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from torch import nn

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.exemplars import BruteForce
from maia_torch import TorchModel, scan
from maia_torch.quantiles import TailQuantile, kept_positions


@pytest.mark.parametrize("layer", ["cells", "mix", "fc", "prob"])
def test_exemplars_equal_brute_force(model, folder, layer):
    for index in range(model.layer(layer).info.units):
        unit = model.unit(f"{layer}:{index}")
        ours, statistics = unit.exemplar_source(folder).exemplars(unit, 15)
        brute, expected = BruteForce(folder).exemplars(unit, 15)
        assert [exemplar.image.id for exemplar in ours] == [exemplar.image.id for exemplar in brute]
        assert [e.activation for e in ours] == pytest.approx([e.activation for e in brute], rel=1e-4)
        assert statistics.count == expected.count == 38
        assert statistics.skipped == 2
        assert statistics.quantiles == pytest.approx(expected.quantiles, rel=1e-4)


def test_equal_values_stay_in_the_order_of_the_data_set(model, folder, net):
    net.cells.weight.data.zero_()
    unit = model.unit("cells:0")
    exemplars, _ = unit.exemplar_source(folder).exemplars(unit, 5)
    assert [exemplar.image.provenance["id"] for exemplar in exemplars] == [f"{n:02}.png" for n in range(5)]


def test_threshold_is_the_quantile_of_all_positions_of_all_images(model, folder, images):
    for index in range(5):
        maps = np.concatenate(
            [model.engine.unit(pixels, model.layer("mix"), index) for _, pixels in model.batches(images)]
        )
        assert model.unit(f"mix:{index}").statistics.threshold == pytest.approx(np.quantile(maps, 0.99), abs=1e-5)
    assert model.unit("fc:0").statistics.threshold is None


def test_unreadable_images_are_counted_and_named_once(model, folder, context):
    for index in range(2):
        unit = model.unit(f"cells:{index}")
        unit.exemplar_source(folder).exemplars(unit, 3)
    assert context.warnings == ["2 images of folder cannot be read and were skipped: 07.png, 20.png"]


def test_a_data_set_without_readable_images_is_refused(model, folder):
    unit = model.unit("cells:0")
    for files in ([], folder.files[7:8]):
        with pytest.raises(UsageError, match="holds no readable image"):
            unit.exemplar_source(type(folder)(files)).exemplars(unit, 15)


def test_the_second_run_reads_the_cache_and_gives_the_same(model, net, preprocess, folder, context):
    unit = model.unit("mix:2")
    first = unit.exemplar_source(folder).exemplars(unit, 4)
    passes = net.passes
    again = TorchModel(net, preprocess, "net", context=context).unit("mix:2")
    assert again.statistics == first[1]
    assert net.passes == passes + 1, "making a model takes one pass; the data set must not take any"
    assert again.exemplar_source(folder).exemplars(again, 4) == first
    assert context.warnings[0] == context.warnings[1], "skipped images are named in every run"


@pytest.mark.parametrize("change", ["weights", "quantile", "data set", "layer"])
def test_nothing_is_taken_from_the_cache_of_something_else(net, preprocess, folder, context, change):
    before = TorchModel(net, preprocess, "net", context=context).unit("mix:2").statistics
    layer, quantile, dataset = "mix:2", 0.99, folder
    if change == "weights":
        net.mix.weight.data *= 2
    elif change == "quantile":
        quantile = 0.5
    elif change == "data set":
        dataset = type(folder)(folder.files[:30])
    else:
        layer = "act@2:2"
    other = TorchModel(
        net, preprocess, "net", quantile=quantile, context=Context(parts={"dataset": dataset}, cache=context.cache)
    )
    assert other.unit(layer).statistics != before


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "other"])
def test_a_broken_cache_file_is_computed_again(net, preprocess, context, damage):
    expected = TorchModel(net, preprocess, "net", context=context).unit("mix:2").statistics
    [file] = (context.cache / "torch").iterdir()
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 255
    file.write_bytes({"empty": b"", "cut": bytes(content[:-300]), "text": b"no archive"}.get(damage, bytes(content)))
    if damage == "other":
        found = scan.Scan(np.arange(3), np.zeros((3, 5), np.float32), None, ())
        scan.save(file, found, {"units": 5})
    context.warnings.clear()
    assert TorchModel(net, preprocess, "net", context=context).unit("mix:2").statistics == expected
    assert "is broken and is computed again" in context.warnings[0]
    assert [path.suffix for path in file.parent.iterdir()] == [".npz"]


def test_a_cache_that_cannot_be_written_costs_time_only(model, context, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert model.unit("cells:0").statistics.count == 38
    assert any("cannot be cached" in line for line in context.warnings)


def test_threads_share_one_pass(model, net):
    before = net.passes
    units = [model.unit(f"mix:{index}") for index in range(5)]
    threads = [threading.Thread(target=lambda unit=unit: unit.statistics) for unit in units]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert net.passes == before + 3, "38 images are three batches of 16"


def test_exemplars_of_another_models_unit_are_refused(model, net, preprocess, folder):
    other = TorchModel(net, preprocess, "other").unit("cells:0")
    with pytest.raises(UsageError, match="not of other:cells:0"):
        model.unit("cells:0").exemplar_source(folder).exemplars(other, 15)


def test_a_unit_that_often_reaches_its_ceiling_is_bright_there(net, preprocess, context, images):
    net.act = nn.Hardtanh(0, 0.6)
    unit = TorchModel(net, preprocess, "net", context=context).unit("act@1:1")
    activations, masked = unit.neuron(images)
    assert max(activations) == pytest.approx(0.6)
    assert masked[int(np.argmax(activations))].mask().any()


@pytest.mark.parametrize("quantile", [0, 0.3, 0.95, 0.99, 1])
def test_streamed_quantiles_are_exact(quantile):
    noise = np.random.default_rng(0)
    values = noise.normal(size=(3, 5000)).astype(np.float32)
    values[1] = values[1].clip(min=1.5)  # many ties, as after a rectifier
    values[2].sort()
    tail = TailQuantile(3, 6000, quantile)  # fewer come than were announced, as with unreadable images
    for part in np.array_split(values, 23, axis=1):
        tail.add(part)
    np.testing.assert_allclose(tail.result(), np.quantile(values, quantile, axis=1), atol=1e-6)


def test_streamed_quantiles_keep_little():
    tail = TailQuantile(2, 100_000, 0.99)
    for _ in range(100):
        tail.add(np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32))
    assert max(len(kept) for kept in tail._tails) <= 2 * 1002


def test_beyond_the_budget_positions_are_sampled_within_the_stated_bound(model, folder, monkeypatch):
    assert kept_positions(1200, 49, 1280, 0.99) == 49
    monkeypatch.setattr(
        scan, "kept_positions", lambda images, *rest: kept_positions(images, *rest, budget=4 * 2 * 5 * 5)
    )
    exact = TorchModel(model.engine._module, model.preprocess, "m", quantile=0.5)
    sampled = scan.measure(exact, model.layer("mix"), folder)
    kept = kept_positions(40, 64, 5, 0.5, 4 * 2 * 5 * 5)
    bound = np.sqrt(np.log(2 / 1e-6) / (2 * 38 * kept))
    maps = [
        exact.engine.maxima_and_maps(pixels, model.layer("mix"), None)[1]
        for _, pixels in exact.batches([folder[i] for i in range(40) if i not in (7, 20)])
    ]
    rank = (np.concatenate(maps, axis=1) <= sampled.thresholds[:, None]).mean(axis=1)
    assert kept == 1
    assert abs(rank - 0.5).max() <= bound
