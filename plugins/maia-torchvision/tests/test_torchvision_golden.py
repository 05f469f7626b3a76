"""The unit that the paper's authors published exemplars of: bow ties, in ResNet-152.

It takes torchvision's weights IMAGENET1K_V1 in the cache, and a folder with ImageNet's 50,000 validation images that
`MAIA_IMAGENET` names (the data set `imagenet` reads it); `MAIA_DEVICE` may name a GPU.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torchvision import models

from maia_core.context import Context

ACTIVATIONS = [36.92, 35.61, 34.16, 32.29, 31.8]
"""The highest activations of layer4, unit 122."""

WEIGHTS = models.ResNet152_Weights.IMAGENET1K_V1.url.rpartition("/")[2]


@pytest.mark.slow
@pytest.mark.skipif("MAIA_IMAGENET" not in os.environ, reason="MAIA_IMAGENET names no folder of ImageNet")
@pytest.mark.skipif(
    not Path(torch.hub.get_dir(), "checkpoints", WEIGHTS).is_file(), reason=f"{WEIGHTS} is not in torch's cache"
)
def test_bow_ties(tmp_path):
    context = Context(cache=tmp_path)
    device = os.environ.get("MAIA_DEVICE", "cpu")
    model = context.model("torchvision/resnet152", weights="IMAGENET1K_V1", device=device)
    dataset = context.build("dataset", "imagenet", path=os.environ["MAIA_IMAGENET"])
    unit = model.unit("layer4:122")
    exemplars, _ = unit.exemplar_source(dataset).exemplars(unit, 15)
    assert [exemplar.activation for exemplar in exemplars[:5]] == pytest.approx(ACTIVATIONS, rel=0.02)
    places = {name: index for index, name in enumerate(dataset.ids)}
    shown = [dataset.concepts(places[str(exemplar.image.provenance["id"])])[0] for exemplar in exemplars]
    assert sum("bow tie" in name for name in shown) >= 5
