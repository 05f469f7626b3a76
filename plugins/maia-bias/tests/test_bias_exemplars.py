"""`tools.class_exemplars`: whose images it lists, and how many it measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from maia_bias.exemplars import ClassExemplars
from maia_bias.whole import WholeModel
from maia_core.plugin import Context, Image, LayerInfo, PluginRef, RunConfig, ToolError, UnitInfo


class Scenes:
    """Images that the data set labels as a penguin, on snow and on sand in turn."""

    name, fingerprint = "scenes", "scenes"

    def __init__(self, count: int) -> None:
        self.ids = [f"scene-{n}" for n in range(count)]
        self.read: set[int] = set()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        self.read.add(index)
        return Image.from_pixels(np.full((4, 4, 3), index % 256, np.uint8), title=self.ids[index])

    def concepts(self, index: int) -> Sequence[str]:
        return ("penguin", "snow" if index % 2 else "sand")


class Unit:
    """Responds to bright images."""

    def __init__(self, layer: str = "prob", unit: str = "penguin,_spheniscid") -> None:
        self.info = UnitInfo(model="net", layer=layer, unit=unit, has_map=False)

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        return [float(image.pixels().mean()) for image in images], list(images)


class Birds:
    """A classifier of two classes."""

    name, fingerprint, classes = "birds", "birds", ("penguin", "owl")

    def layers(self) -> list[LayerInfo]:
        return [LayerInfo(name="prob", units=2)]

    def unit(self, ref: str) -> Unit:
        return Unit()


def _tool(system: Any, count: int = 20, measured: int = 600, **config: Any) -> tuple[ClassExemplars, Scenes]:
    dataset = Scenes(count)
    context = Context(RunConfig.model_validate(config), parts={"system": system, "dataset": dataset})
    return ClassExemplars(ClassExemplars.Config(count=3, measured=measured), context), dataset


def _whole() -> WholeModel:
    context = Context(RunConfig())
    context._parts["model/birds/[]"] = Birds()
    return WholeModel(WholeModel.Config(ref="birds"), context)


def test_a_unit_shows_images_of_its_own_class_by_any_of_its_names():
    for name in ("", "penguin", "penguins", "spheniscid"):
        responses, images = _tool(Unit())[0](name)
        assert responses == [19, 18, 17, 0, 1, 2]
        assert [image.title for image in images][::3] == ["highest 1", "lowest 1"]


@pytest.mark.parametrize("label", ["snow", "sand", "owl", "a thing on snow"])
def test_other_labels_of_the_data_set_stay_hidden_from_the_programs_of_a_unit(label: str):
    tool, dataset = _tool(Unit())
    with pytest.raises(ToolError, match="lists images of 'penguin' only, the class of the unit; leave out the name"):
        tool(label)
    assert not dataset.read


def test_a_unit_of_no_class_shows_the_class_of_its_task_and_no_other():
    task = PluginRef.model_validate({"name": "bias", "class_name": "penguin"})
    assert _tool(Unit("layer4", "3"), task=task)[0]()[0] == [19, 18, 17, 0, 1, 2]
    with pytest.raises(ToolError, match="lists images of 'penguin' only"):
        _tool(Unit("layer4", "3"), task=task)[0]("snow")
    for name in ("", "snow", "penguin"):
        with pytest.raises(ToolError, match="the unit is not a unit of a class"):
            _tool(Unit("layer4", "3"))[0](name)


def test_a_whole_model_shows_its_classes_only():
    assert _tool(_whole())[0]("penguin")[0] == [19, 18, 17, 0, 1, 2]
    with pytest.raises(ToolError, match="birds has no class 'snow'"):
        _tool(_whole())[0]("snow")
    with pytest.raises(ToolError, match="needs the name of a class"):
        _tool(_whole())[0]()


@pytest.mark.parametrize(("available", "wanted"), [(1199, 600), (600, 600), (601, 600), (7, 5), (20, 3), (3, 600)])
def test_measured_is_a_maximum_and_the_images_are_spread_evenly(available: int, wanted: int):
    tool, dataset = _tool(Unit(), available, wanted)
    tool()
    read = sorted(dataset.read)
    assert len(read) == min(available, wanted)
    gaps = {after - before for before, after in zip([*read, available], read[1:], strict=False)}
    assert not gaps or max(gaps) - min(gaps) <= 1
