"""What every `maia_core.protocols.System` does."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest

from maia_core.image import Image
from maia_core.prompt import render_api
from maia_core.protocols import System
from maia_core.testing.suites.samples import allowed, frozen, half_masks, samples
from maia_core.types import UnitInfo


class SystemSuite:
    """Subclass it and return the system from the fixture `system`.

    Attributes:
        tolerance: How far an activation may depend on its batch, as a fraction of the spread of the activations.
        mask_tolerance: The same for a mask, as a fraction of its pixels.
    """

    tolerance: ClassVar[float] = 1e-4
    mask_tolerance: ClassVar[float] = 0.01

    @pytest.fixture
    def system(self) -> System:
        """The system under test."""
        raise NotImplementedError("override the fixture `system`: it returns the system under test")

    @pytest.fixture
    def images(self) -> list[Image]:
        """Images of different sizes, on which the unit's activation is not all the same."""
        return samples()

    def test_says_which_unit_it_is(self, system: System) -> None:
        assert isinstance(system.info, UnitInfo)
        assert system.info.model.strip()
        assert UnitInfo.model_validate_json(system.info.model_dump_json()) == system.info

    def test_backbone_can_be_told_of_it(self, system: System) -> None:
        """The signature and docstring of `neuron` are rendered into the prompt."""
        assert "def neuron(self, images" in render_api(system, {})

    def test_returns_one_finite_float_and_one_image_per_image(self, system: System, images: list[Image]) -> None:
        activations, masked = system.neuron(images)
        assert len(activations) == len(masked) == len(images)
        assert isinstance(activations, list)
        assert isinstance(masked, list)
        assert {type(a) for a in activations} == {float}, "activations are Python floats; numpy's cannot be recorded"
        assert all(map(math.isfinite, activations))
        assert all(isinstance(image, Image) for image in masked)

    def test_responds_to_something(self, system: System, images: list[Image]) -> None:
        """Otherwise the other tests would show nothing; override `images` for a unit that is picky."""
        activations, _ = system.neuron(images)
        assert max(activations) > min(activations), "the unit is constant on `images`: override that fixture"

    def test_masked_image_is_the_image_with_a_mask_beside_it(self, system: System, images: list[Image]) -> None:
        for image, masked in zip(images, system.neuron(images)[1], strict=True):
            assert (masked.width, masked.height) == (image.width, image.height)
            assert masked.title == image.title
            if not system.info.has_map:
                assert masked.id == image.id, "a unit without a map returns the images as they are"
                continue
            mask = masked.mask()
            assert masked.clean is not None
            assert masked.clean.id == image.id
            assert mask is not None
            assert mask.dtype == np.bool_
            assert mask.shape == (image.height, image.width)
            assert np.array_equal(masked.clean.pixels(), image.pixels())

    def test_image_alone_and_in_a_batch_give_the_same(self, system: System, images: list[Image]) -> None:
        activations, masked = system.neuron(images)
        for image, activation, mask in zip(images, activations, masked, strict=True):
            [alone], [masked_alone] = system.neuron([image])
            self.assert_close([alone], [activation], activations)
            self.assert_same_masks([masked_alone], [mask])

    def test_order_of_a_long_batch_is_kept(self, system: System, images: list[Image]) -> None:
        """Longer than most internal batches, and in another order."""
        activations, masked = system.neuron(images)
        many, many_masked = system.neuron(list(reversed(images)) * 6)
        self.assert_close(many, list(reversed(activations)) * 6, activations)
        self.assert_same_masks(many_masked, list(reversed(masked)) * 6)

    def test_same_images_again_give_the_same(self, system: System, images: list[Image]) -> None:
        first, first_masked = system.neuron(images)
        again, again_masked = system.neuron(images)
        self.assert_close(again, first, first)
        self.assert_same_masks(again_masked, first_masked)

    def test_masked_image_is_measured_on_its_clean_pixels(self, system: System, images: list[Image]) -> None:
        expected, expected_masked = system.neuron(images)
        for half in (0, 1):
            halved = [half_masks(image)[half] for image in images]
            activations, masked = system.neuron(halved)
            self.assert_close(activations, expected, expected)
            if system.info.has_map:
                self.assert_same_masks(masked, expected_masked)
                assert all(m.clean is not None and m.clean.clean is None for m in masked), "a mask replaces a mask"

    def test_no_images_give_nothing(self, system: System) -> None:
        activations, masked = system.neuron([])
        assert (list(activations), list(masked)) == ([], [])

    def test_images_are_left_as_they_were(self, system: System, images: list[Image]) -> None:
        before = frozen(images)
        given = list(images)
        system.neuron(given)
        assert frozen(given) == before

    def test_large_image_is_measured(self, system: System) -> None:
        image = Image.from_pixels(np.random.default_rng(1).integers(0, 256, (700, 1100, 3), np.uint8))
        [activation], [masked] = system.neuron((image,))
        assert math.isfinite(activation)
        assert (masked.width, masked.height) == (1100, 700)

    def assert_close(self, found: list[float], expected: list[float], scale: list[float]) -> None:
        """Asserts that activations agree within `tolerance` of the spread of `scale`."""
        assert len(found) == len(expected)
        assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= allowed(self.tolerance, scale)

    def assert_same_masks(self, found: list[Image], expected: list[Image]) -> None:
        """Asserts that masks agree within `mask_tolerance` of their pixels."""
        for a, b in zip(found, expected, strict=True):
            one, other = a.mask(), b.mask()
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert one.shape == other.shape
                assert np.mean(one != other) <= self.mask_tolerance
