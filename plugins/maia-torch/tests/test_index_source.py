"""What a run asks of the exemplar index: exemplars, thresholds, statistics, whatever state the cache is in."""

from __future__ import annotations

import os
import shutil
import threading

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torch import nn

from maia_core.context import Context
from maia_core.errors import ToolError, UsageError
from maia_exemplars import BruteForce
from maia_exemplars.build import build
from maia_exemplars.folder import cache_folder
from maia_exemplars.histogram import RELATIVE
from maia_exemplars.options import Options
from maia_torch import Preprocessing, TorchModel


def layer_folder(model, dataset, context, layer):
    return cache_folder(context.cache, model.fingerprint, dataset.fingerprint) / layer


@pytest.mark.parametrize("layer", ["cells", "mix", "fc", "prob"])
def test_exemplars_equal_brute_force(model, folder, layer):
    for index in range(model.layer(layer).info.units):
        unit = model.unit(f"{layer}:{index}")
        ours, statistics = unit.exemplar_source(folder).exemplars(unit, 15)
        brute, expected = BruteForce(folder).exemplars(unit, 15)
        assert [exemplar.image.clean or exemplar.image for exemplar in ours] == [
            exemplar.image.clean or exemplar.image for exemplar in brute
        ]
        assert [e.activation for e in ours] == pytest.approx([e.activation for e in brute], rel=1e-4)
        assert statistics.count == expected.count == 38
        assert statistics.skipped == 2
        assert (statistics.mean, statistics.std) == pytest.approx((expected.mean, expected.std), rel=1e-5)
        assert statistics.quantiles == pytest.approx(expected.quantiles, rel=1e-4)


def test_masks_made_from_stored_maps_are_those_that_the_unit_makes(model, folder):
    unit = model.unit("mix:1")
    exemplars, _ = unit.exemplar_source(folder).exemplars(unit, 15)
    _, masked = unit.neuron([exemplar.image.clean for exemplar in exemplars])
    for ours, theirs in zip(exemplars, masked, strict=True):
        assert (ours.image.mask() != theirs.mask()).mean() < 0.001
        assert ours.image.mask().any()


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
        below, above = (np.quantile(maps, 0.99, method=method) for method in ("lower", "higher"))
        found = model.unit(f"mix:{index}").statistics.threshold
        assert below - RELATIVE * abs(below) <= found <= above + RELATIVE * abs(above)
    assert model.unit("fc:0").statistics.threshold is None


def test_unreadable_images_are_counted_and_named_once(model, folder, context):
    for index in range(2):
        unit = model.unit(f"cells:{index}")
        unit.exemplar_source(folder).exemplars(unit, 3)
    assert context.warnings == ["2 images of folder cannot be read or measured and were skipped: 07.png, 20.png"]


def test_a_data_set_without_readable_images_is_refused(model, folder):
    unit = model.unit("cells:0")
    for files in ([], folder.files[7:8]):
        with pytest.raises(UsageError, match=r"holds no readable image; check its files, or choose another"):
            unit.exemplar_source(type(folder)(files)).exemplars(unit, 15)


def test_fewer_images_than_exemplars_are_all_exemplars(net, preprocess, folder, context):
    few = type(folder)(folder.files[5:10])
    unit = TorchModel(net, preprocess, "net", context=context).unit("mix:0")
    exemplars, statistics = unit.exemplar_source(few).exemplars(unit, 15)
    assert len(exemplars) == statistics.count == 4


def test_the_second_run_reads_the_cache_and_gives_the_same(model, net, preprocess, folder, context):
    unit = model.unit("mix:2")
    first = unit.exemplar_source(folder).exemplars(unit, 4)
    making = net.passes
    again = TorchModel(net, preprocess, "net", context=context).unit("mix:2")
    making = net.passes - making
    before = net.passes
    assert again.statistics == first[1]
    assert again.exemplar_source(folder).exemplars(again, 4) == first
    assert net.passes == before + 1, "only a few exemplars are measured again, together"
    assert context.warnings[0] == context.warnings[1], "skipped images are named in every run"


def test_more_exemplars_than_the_index_has_are_found_too(model, net, preprocess, folder, context):
    few = Options(k=5)
    build(model.measurer_of([model.layer("mix")]), folder, layer_folder(model, folder, context, "mix").parent, few)
    unit = model.unit("mix:2")
    before = net.passes
    assert len(unit.exemplar_source(folder).exemplars(unit, 5)[0]) == 5
    assert net.passes == before + 1, "a few exemplars are measured again"
    source = TorchModel(net, preprocess, "net", context=context).unit("mix:2")
    found, _ = source.exemplar_source(folder).exemplars(source, 30)
    brute, _ = BruteForce(folder).exemplars(source, 30)
    assert [e.image.clean for e in found] == [e.image.clean for e in brute]
    assert all((a.image.mask() != b.image.mask()).mean() < 0.001 for a, b in zip(found, brute, strict=True))
    assert len(source.exemplar_source(folder).exemplars(source, 1000)[0]) == 38


def test_an_answer_is_tested_on_exemplars_that_were_not_shown_without_another_pass(model, net, folder):
    unit = model.unit("mix:2")
    shown, _ = unit.exemplar_source(folder).exemplars(unit, 15)
    before = net.passes
    tested, _ = unit.exemplar_source(folder).exemplars(unit, 32)
    assert tested[:15] == shown
    assert net.passes - before == 2, "only the masks of 17 images, whose maps are not kept, take two batches"


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


def test_a_corrected_order_of_axes_is_measured_anew(net, preprocess, folder, context):
    """The maps of `cells` are 8 x 8, so that rows may be taken for units."""
    guessed = TorchModel(net, preprocess, "net", context=context).unit("cells:0")
    told = TorchModel(net, preprocess, "net", context=context, layouts={"cells": "NHWC"}).unit("cells:0")
    assert guessed.model.fingerprint == told.model.fingerprint
    before = guessed.exemplar_source(folder).exemplars(guessed, 5)
    found, _ = told.exemplar_source(folder).exemplars(told, 5)
    brute, _ = BruteForce(folder).exemplars(told, 5)
    assert [e.activation for e in found] == pytest.approx([e.activation for e in brute], rel=1e-4)
    again = TorchModel(net, preprocess, "net", context=context).unit("cells:0")
    assert again.exemplar_source(folder).exemplars(again, 5) == before


@pytest.mark.parametrize("file", ["sheet.json", "units.npy", "map_bins.npy", "id_letters.npy"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "link"])
def test_a_broken_cache_is_built_anew(net, preprocess, folder, context, file, damage):
    model = TorchModel(net, preprocess, "net", context=context)
    expected = model.unit("mix:2").statistics
    said = list(context.warnings)
    broken = layer_folder(model, folder, context, "mix") / file
    content = broken.read_bytes()
    broken.unlink()
    if damage == "link":
        other = context.cache / "other"
        other.write_bytes(content)
        broken.symlink_to(other)
    elif damage != "missing":
        broken.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"no array"}[damage])
    context.warnings.clear()
    assert TorchModel(net, preprocess, "net", context=context).unit("mix:2").statistics == expected
    assert context.warnings == said, "a run's record must not depend on what the cache held"
    assert [path.name for path in broken.parent.parent.iterdir()] == ["mix"], "nothing else may be left behind"


def test_an_array_of_objects_is_never_unpickled(net, preprocess, folder, context, tmp_path):
    class Harm:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'harm'}",)

    model = TorchModel(net, preprocess, "net", context=context)
    expected = model.unit("mix:2").statistics
    np.save(layer_folder(model, folder, context, "mix") / "units.npy", np.array([Harm()] * 5), allow_pickle=True)
    assert TorchModel(net, preprocess, "net", context=context).unit("mix:2").statistics == expected
    assert not (tmp_path / "harm").exists()


def test_a_cache_that_cannot_be_written_costs_time_only(model, context, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert model.unit("cells:0").statistics.count == 38
    assert any("cannot be cached" in line for line in context.warnings)


@pytest.mark.filterwarnings("ignore:2 images of folder")
def test_a_model_without_a_run_keeps_nothing(net, preprocess, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    unit = TorchModel(net, preprocess, "net").unit("mix:0")
    source = unit.exemplar_source(folder)
    assert len(source.exemplars(unit, 3)[0]) == 3
    unit.model.close()
    del source, unit
    assert set(tmp_path.iterdir()) == before


def test_threads_share_one_pass(model, net):
    before = net.passes
    units = [model.unit(f"mix:{index}") for index in range(5)]
    threads = [threading.Thread(target=lambda unit=unit: unit.statistics) for unit in units]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 3 <= net.passes - before <= 6, "38 images are three batches of 16, and the build may time itself on one"


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


def test_the_cache_may_be_deleted_between_two_questions(model, folder, context):
    unit = model.unit("mix:0")
    first = unit.exemplar_source(folder).exemplars(unit, 3)
    shutil.rmtree(context.cache)
    assert unit.exemplar_source(folder).exemplars(unit, 3) == first


def test_images_of_any_proportions_are_seen_whole(net, folder, context):
    """As segmentation networks are shown them: the input is as long as the image."""
    preprocess = Preprocessing(64, fit="whole")
    images = [folder[index] for index in range(40) if index not in (7, 20)]
    model = TorchModel(net, preprocess, "net", context=context)
    [pixels] = [pixels for _, pixels in model.batches(images[:3])]
    assert [crop.shape[:2] for crop in pixels] == [(64, 96), (96, 64), (64, 64)]
    for ref in ("cells:0", "mix:3", "fc:1"):
        unit = model.unit(ref)
        alone = [unit.neuron([image])[0][0] for image in images]
        assert unit.neuron(images)[0] == pytest.approx(alone, abs=1e-4)
        ours, statistics = unit.exemplar_source(folder).exemplars(unit, 15)
        brute, _ = BruteForce(folder).exemplars(unit, 15)
        assert [e.image.provenance["id"] for e in ours] == [e.image.provenance["id"] for e in brute]
        assert statistics.count == 38
    mask = model.unit("cells:0").neuron([images[0]])[1][0].mask()
    assert mask.shape == (64, 96)


class Divides(nn.Module):
    """Not finite for images that are black in a corner."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 2, 8, 8), nn.Identity()

    def forward(self, x):
        return self.last(self.conv(x) / (x[:, :1, :8, :8].amax((2, 3), keepdim=True) > 0)).mean((2, 3))


def test_a_program_is_told_which_images_have_no_finite_activation(preprocess, folder, context, images):
    for file in (3, 11, 12):
        with PILImage.open(folder.files[file]) as image:
            black = image.copy()
        black.paste(0, (0, 0, 60, 60))
        black.save(folder.files[file])
    odd = [folder[index] for index in (3, 11, 12)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maia_torch.probing.probes", lambda height, width: np.full((3, height, width, 3), 9, np.uint8))
        model = TorchModel(Divides(), preprocess, "net", context=context)
    unit = model.unit("last:0")
    exemplars, statistics = unit.exemplar_source(folder).exemplars(unit, 5)
    assert (statistics.count, statistics.skipped) == (35, 5)
    assert np.isfinite(statistics.mean)
    whole = [image for image in images if image.provenance["id"] not in ("03.png", "11.png", "12.png")]
    assert exemplars[0].activation == pytest.approx(max(unit.neuron(whole)[0]))
    with pytest.raises(ToolError, match="3 of 23 images is not finite: leave out those at the places 1, 21, 22 of"):
        unit.neuron([whole[0], odd[0], *whole[:19], *odd[1:]])
