"""Small models with random weights."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

from maia_torchvision import TorchvisionModel

torch.set_num_threads(1)


def model(name: str, **options: object) -> TorchvisionModel:
    with pytest.warns(UserWarning, match="weights are random"):
        return TorchvisionModel(TorchvisionModel.Config(model=name, weights="random", **options), None)


@pytest.fixture(scope="session")
def random_model():
    """Builds a model with random weights."""
    return model


@pytest.fixture(scope="session")
def resnet18() -> TorchvisionModel:
    return model("resnet18", size=64)


@pytest.fixture(scope="session")
def lraspp() -> TorchvisionModel:
    return model("lraspp_mobilenet_v3_large", size=64)
