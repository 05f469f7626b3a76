"""Conformance of adapters of torch models: one class per layer, which the tests of an adapter subclass.

class TestMaps(ZooSuite):
    layer, unit, column = "layer3", "12", 12

    @pytest.fixture
    def model(self):
        return MyModel(MyModel.Config(model="small", weights="random"), None)

class TestClasses(TestMaps):
    layer, unit, column = "prob", "tiger", 292

class TestDistribution(DistributionSuite):  # of maia_core.testing
    distribution = "maia-my-zoo"
"""

from __future__ import annotations

import pytest

from maia_core.testing import ModelSuite, SystemSuite
from maia_torch.model import TorchModel
from maia_torch.unit import TorchUnit


class ZooSuite(ModelSuite, SystemSuite):
    """A model keeps the promises of models, and its unit `layer:unit` those of systems; override `model`."""

    @pytest.fixture
    def system(self, model: TorchModel) -> TorchUnit:
        """The unit under test."""
        return model.unit(f"{self.layer}:{self.unit}")

    def test_an_index_can_be_built_from_what_the_model_describes(self, model: TorchModel) -> None:
        """An index of the wrong shape, or without the fingerprint, would be read for another model."""
        [measured] = model.measurer([self.layer]).layers
        info = model.layer(self.layer).info
        assert (measured.layer, measured.shape, measured.kind) == (info.name, info.shape, info.kind)
        assert (measured.model, measured.model_fingerprint) == (model.name, model.fingerprint)
        assert measured.options is not None, "hand the options on: super().__init__(..., **config.running)"
