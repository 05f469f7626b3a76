"""What every `maia_core.protocols.Model` does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pytest

from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.protocols import Model
from maia_core.testing.suites.samples import allowed, in_threads, samples
from maia_core.types import LayerInfo


class ModelSuite:
    """Subclass it and return the model from the fixture `model`. Run `SystemSuite` on some of its units, too.

    Attributes:
        layer: The layer to try; empty: the last one.
        unit: How a unit of that layer is called in a reference.
        column: Which column of `activations` that unit is.
        tolerance: How far an activation may depend on its batch, as a fraction of the spread of the activations.
    """

    layer: ClassVar[str] = ""
    unit: ClassVar[str] = "0"
    column: ClassVar[int] = 0
    tolerance: ClassVar[float] = 1e-4

    @pytest.fixture
    def model(self) -> Model:
        """The model under test."""
        raise NotImplementedError("override the fixture `model`: it returns the model under test")

    @pytest.fixture
    def twin(self) -> Model | None:
        """A second instance made in the same way, or None where that costs too much."""
        return None

    @pytest.fixture
    def images(self) -> list[Image]:
        """Images of different sizes."""
        return samples()

    def test_layers_are_named_once_and_have_units(self, model: Model) -> None:
        layers = model.layers()
        names = [layer.name for layer in layers]
        assert names, "a model without layers has nothing to explain"
        assert len(set(names)) == len(names)
        assert all(isinstance(layer, LayerInfo) and layer.units > 0 for layer in layers)
        assert ":" not in model.name, "a colon ends the model's name in MODEL:LAYER:UNIT"

    def test_measures_all_units_of_a_layer(self, model: Model, images: list[Image]) -> None:
        layer = self.chosen(model)
        activations = model.activations(images, layer.name)
        assert isinstance(activations, np.ndarray)
        assert activations.dtype == np.float32
        assert activations.shape == (len(images), layer.units)
        assert np.isfinite(activations).all()

    def test_no_images_give_no_rows(self, model: Model) -> None:
        layer = self.chosen(model)
        assert model.activations([], layer.name).shape == (0, layer.units)

    def test_unit_is_the_column_of_its_layer(self, model: Model, images: list[Image]) -> None:
        layer = self.chosen(model)
        column = model.activations(images, layer.name)[:, self.column]
        alone, _ = model.unit(f"{layer.name}:{self.unit}").neuron(images)
        assert np.abs(column - alone).max() <= allowed(self.tolerance, column)

    def test_a_layer_of_one_image_and_of_a_batch_agree(self, model: Model, images: list[Image]) -> None:
        layer = self.chosen(model)
        together = model.activations(images, layer.name)
        alone = np.concatenate([model.activations([image], layer.name) for image in images])
        assert np.abs(together - alone).max() <= allowed(self.tolerance, together)

    def test_unit_knows_its_name(self, model: Model) -> None:
        layer = self.chosen(model)
        info = model.unit(f"{layer.name}:{self.unit}").info
        assert (info.model, info.layer) == (model.name, layer.name)
        name, _, ref = info.ref.partition(":")
        assert name == model.name
        assert model.unit(ref).info == info, "a unit's reference leads back to it"

    def test_unknown_layer_is_refused_with_the_nearest(self, model: Model, images: list[Image]) -> None:
        layer = self.chosen(model)
        with pytest.raises(UsageError) as refused:
            model.activations(images, layer.name + "x")
        assert layer.name in str(refused.value).replace(layer.name + "x", "")
        with pytest.raises(UsageError) as refused:
            model.unit(f"{layer.name}x:{self.unit}")
        assert layer.name in str(refused.value).replace(layer.name + "x", "")

    @pytest.mark.parametrize(
        "ref", ["{layer}:no-such-unit", "{layer}:-1", "{layer}:99999999", "{layer}:", "", ":", "::"]
    )
    def test_unknown_unit_is_refused(self, model: Model, ref: str) -> None:
        with pytest.raises(UsageError) as refused:
            model.unit(ref.format(layer=self.chosen(model).name))
        assert str(refused.value).strip()

    def test_threads_do_not_disturb_each_other(self, model: Model, images: list[Image]) -> None:
        layer = self.chosen(model)
        front, back = images[:3], images[3:]
        expected = [model.activations(part, layer.name) for part in (front, back)]
        limit = allowed(self.tolerance, np.concatenate(expected))
        found = in_threads(lambda: model.activations(front, layer.name), lambda: model.activations(back, layer.name))
        for alone, together in zip(expected, found, strict=True):
            for values in together:
                assert values.shape == alone.shape
                assert np.abs(values - alone).max() <= limit

    def test_no_gradients_are_kept(self, model: Model, images: list[Image]) -> None:
        """A model that is not a torch one has none."""
        layer = self.chosen(model)
        unit = model.unit(f"{layer.name}:{self.unit}")
        with _gradients() as kept:
            model.activations(images[:2], layer.name)
            unit.neuron(images[:2])
        assert not kept, f"gradients are kept in {', '.join(sorted(set(kept)))}"

    def test_fingerprint_is_stable(self, model: Model, images: list[Image], twin: Model | None) -> None:
        before = model.fingerprint
        model.activations(images[:1], self.chosen(model).name)
        assert isinstance(before, str)
        assert before.strip()
        assert model.fingerprint == before
        if twin is not None:
            assert twin.fingerprint == before

    def chosen(self, model: Model) -> LayerInfo:
        """Returns the layer to try."""
        layers = model.layers()
        return next((layer for layer in layers if layer.name == self.layer), layers[-1])


@contextmanager
def _gradients() -> Iterator[list[str]]:
    """Yields the list of torch modules whose output asks for a gradient; it fills while the context lasts."""
    kept: list[str] = []
    torch = sys.modules.get("torch")
    if torch is None:
        yield kept
        return

    def look(module: Any, inputs: Any, output: Any) -> None:
        if getattr(output, "requires_grad", False):
            kept.append(type(module).__name__)

    handle = torch.nn.modules.module.register_module_forward_hook(look)
    try:
        yield kept
    finally:
        handle.remove()
