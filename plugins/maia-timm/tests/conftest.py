"""Small models with random weights."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

from maia_timm import TimmModel

torch.set_num_threads(1)


def model(name: str, **options: object) -> TimmModel:
    with pytest.warns(UserWarning, match="weights are random"):
        return TimmModel(TimmModel.Config(model=name, weights="random", **options), None)


@pytest.fixture(scope="session")
def random_model():
    """Builds a model with random weights."""
    return model


@pytest.fixture(scope="session")
def vit() -> TimmModel:
    return model("vit_tiny_patch16_224", size=64)
