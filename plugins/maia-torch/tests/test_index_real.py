"""Ranking in bfloat16 loses no exemplar of a real network on real photographs."""

from __future__ import annotations

import numpy as np
import pytest

from maia_core.context import Context
from maia_core.errors import MaiaError
from maia_torch.index.build import build
from maia_torch.index.folder import Index
from maia_torch.index.options import Options

pytestmark = [pytest.mark.slow, pytest.mark.pack]

LAYERS, K, IMAGES = ("blocks.1", "blocks.4"), 4, 200


@pytest.fixture(scope="module")
def model():
    efficientnet = pytest.importorskip("maia_efficientnet")
    try:
        return efficientnet.EfficientNetLite0(efficientnet.EfficientNetLite0.Config(), None)
    except MaiaError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def photographs():
    try:
        return Context(parts={}).build("dataset", "collage", count=IMAGES)
    except MaiaError as error:
        pytest.skip(str(error))


def test_the_exemplars_are_those_of_brute_force_in_float32(model, photographs, tmp_path):
    layers = [model.layer(name) for name in LAYERS]
    build(model, layers, photographs, tmp_path, Options(k=K, precision="bfloat16"))
    images = [photographs[place] for place in range(IMAGES)]
    for name in LAYERS:
        units = Index(tmp_path).layer(name).units
        values = model.activations(images, name)
        order = np.argsort(-values, axis=0, kind="stable")[:K]
        np.testing.assert_allclose(units["values"], np.take_along_axis(values, order, 0).T, rtol=1e-4)
        # Where two differ by less than that, either may come first.
        found = np.take_along_axis(values, units["places"].T, 0)
        np.testing.assert_allclose(found, np.take_along_axis(values, order, 0), rtol=1e-4)
        assert units["error"].max() > 0, "the two precisions differ"
